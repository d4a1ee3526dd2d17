/** Tokens for the API on TCP: the store has their hashes only. The only place that writes the `tokens` table. */
import type { Database } from "bun:sqlite";
import { createHash, randomBytes } from "node:crypto";
import { z } from "zod";
import { type Caller, TOKEN_PREFIX, tokenScope } from "#api/serve/caller.ts";
import { type Token, type TokenCreate, type TokenCreated, tokenName } from "#api/serve/token.ts";
import { BangerError } from "#base/error.ts";
import { newId } from "#base/id.ts";
import { didYouMean } from "#base/similar.ts";

const SECRET_BYTES = 32;
const TOKENS_MAX = 1000;
/** Resolution of the last-used time. */
const USED_EVERY_MS = 60_000;
/** Longest delay of a timer: work that outlasts it is not ended by its token's expiry. */
const TIMER_MAX_MS = 2 ** 31 - 1;

const tokenRow = z.object({
  id: z.string(),
  name: tokenName,
  hash: z.string(),
  scope: tokenScope,
  created_at: z.iso.datetime(),
  expires_at: z.iso.datetime().nullable(),
  used_at: z.iso.datetime().nullable(),
});
type TokenRow = z.infer<typeof tokenRow>;

export class Tokens {
  readonly #db: Database;
  readonly #byHash = new Map<string, TokenRow>();
  /** Callbacks that end the work under a token, by its ID. */
  readonly #held = new Map<string, Set<() => void>>();

  constructor(db: Database) {
    this.#db = db;
    const rows = z
      .array(tokenRow)
      .parse(db.query("SELECT * FROM tokens ORDER BY created_at").all());
    for (const row of rows) this.#byHash.set(row.hash, row);
  }

  list(): Token[] {
    return [...this.#byHash.values()].map(toApi);
  }

  /** Whether any is there that has not expired. */
  get isAny(): boolean {
    return [...this.#byHash.values()].some((row) => !isOver(row));
  }

  create({ name, scope = "own", ttl_ms }: TokenCreate): TokenCreated {
    if (this.#byHash.size >= TOKENS_MAX) {
      throw new BangerError("limit_exceeded", `Cannot create more than ${TOKENS_MAX} tokens`, {
        hint: "Revoke some: banger token list, banger token rm NAME",
      });
    }
    const id = newId();
    const chosen = name ?? `token-${id.slice(0, 6)}`;
    const taken = [...this.#byHash.values()].some((row) => row.name === chosen);
    if (taken) {
      throw new BangerError(
        "already_exists",
        `Cannot create token "${chosen}": it exists already`,
        {
          hint: `Use a different name, or revoke it first: banger token rm ${chosen}`,
        },
      );
    }
    const secret = `${TOKEN_PREFIX}${randomBytes(SECRET_BYTES).toString("hex")}`;
    const now = Date.now();
    const row: TokenRow = {
      id,
      name: chosen,
      hash: hashOf(secret),
      scope,
      created_at: new Date(now).toISOString(),
      expires_at: ttl_ms === undefined ? null : new Date(now + ttl_ms).toISOString(),
      used_at: null,
    };
    this.#db
      .query(
        `INSERT INTO tokens (id, name, hash, scope, created_at, expires_at, used_at)
         VALUES ($id, $name, $hash, $scope, $created_at, $expires_at, $used_at)`,
      )
      .run(row);
    this.#byHash.set(row.hash, row);
    return { token: toApi(row), secret };
  }

  /** Ends the work under it. Machines that it created stay. */
  remove(ref: string): void {
    const rows = [...this.#byHash.values()];
    const row = rows.find(({ name, id }) => name === ref || id === ref);
    if (!row) {
      throw new BangerError("not_found", `no such token "${ref}"`, {
        hint: didYouMean(
          ref,
          rows.map(({ name }) => name),
          "List tokens with: banger token list",
        ),
      });
    }
    this.#db.query("DELETE FROM tokens WHERE id = $id").run({ id: row.id });
    this.#byHash.delete(row.hash);
    for (const end of [...(this.#held.get(row.id) ?? [])]) end();
  }

  /** Calls `end` when the caller's token is revoked or expires, until the result is disposed of. */
  hold({ token: id }: Caller, end: () => void): Disposable {
    if (id === undefined) return { [Symbol.dispose]() {} };
    const held = this.#held.get(id) ?? new Set();
    this.#held.set(id, held.add(end));
    const row = [...this.#byHash.values()].find((each) => each.id === id);
    const left_ms = row?.expires_at ? Date.parse(row.expires_at) - Date.now() : undefined;
    const isSoon = left_ms !== undefined && left_ms < TIMER_MAX_MS;
    const timer = isSoon ? setTimeout(end, left_ms).unref() : undefined;
    return {
      [Symbol.dispose]: () => {
        clearTimeout(timer);
        held.delete(end);
        if (held.size === 0 && this.#held.get(id) === held) this.#held.delete(id);
      },
    };
  }

  /** Undefined for a token that is unknown, revoked or expired. */
  verify(secret: string | undefined): Caller | undefined {
    if (secret === undefined || !secret.startsWith(TOKEN_PREFIX)) return undefined;
    // Looked up by hash, so that timing reveals nothing about the token.
    const row = this.#byHash.get(hashOf(secret));
    if (!row || isOver(row)) return undefined;
    this.#note(row);
    return { token: row.id, scope: row.scope, name: row.name };
  }

  /** Undefined for a token that is unknown, revoked or expired. */
  byId(id: string): Caller | undefined {
    return this.callers().find(({ token }) => token === id);
  }

  /** Of all tokens that count. */
  callers(): Caller[] {
    const rows = [...this.#byHash.values()].filter((row) => !isOver(row));
    return rows.map(({ id, scope, name }) => ({ token: id, scope, name }));
  }

  #note(row: TokenRow): void {
    const now = Date.now();
    if (row.used_at !== null && now - Date.parse(row.used_at) < USED_EVERY_MS) return;
    row.used_at = new Date(now).toISOString();
    this.#db
      .query("UPDATE tokens SET used_at = $at WHERE id = $id")
      .run({ at: row.used_at, id: row.id });
  }
}

/** The token has 256 random bits, so a plain hash of it cannot be brute-forced. */
function hashOf(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}

function isOver({ expires_at }: TokenRow): boolean {
  return expires_at !== null && Date.parse(expires_at) <= Date.now();
}

function toApi({ id, name, scope, created_at, expires_at, used_at }: TokenRow): Token {
  return {
    id,
    name,
    scope,
    createdAt: created_at,
    expiresAt: expires_at ?? undefined,
    usedAt: used_at ?? undefined,
  };
}
