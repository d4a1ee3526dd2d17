/**
 * Browsers that are logged in to the web UI. A cookie alone is not enough: browsers send cookies of 127.0.0.1 to every
 * port of it, so also to a page that a machine publishes there or that another user serves. The page therefore sends a
 * key as well, which it keeps in the storage of its origin, where no other port can read it. Only hashes are on disk.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { z } from "zod";
import { BangerError } from "#base/error.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";

export const SESSION_LIFETIME_MS = 24 * 3600_000;
export const CODE_LIFETIME_MS = 5 * 60_000;
const SESSIONS_MAX = 64;
const CODES_MAX = 64;
const COOKIE_PREFIX = "banger-ui-";
/** Of a cookie header: more are not looked at. */
const COOKIES_MAX = 200;

const session = z.object({
  /** Also part of the cookie's name: daemons at other ports of the same host have cookies of their own. */
  id: z.string(),
  cookieHash: z.string(),
  keyHash: z.string(),
  expires_ms: z.number(),
});
export type UiSession = z.infer<typeof session>;

const stored = z.object({
  /** Of the address that is served for them. */
  port: z.number().optional(),
  sessions: z.array(session),
});

export interface Login {
  /** Value of the Set-Cookie field. */
  setCookie: string;
  /** For the storage of the page. */
  key: string;
}

export class UiSessions {
  readonly #path: string;
  /** Expiry by the hash of each code. */
  readonly #codes = new Map<string, number>();
  readonly #held = new Map<string, Set<() => void>>();
  #sessions: UiSession[] = [];
  #port: number | undefined;

  /** `path`: of the file that they survive a restart of the daemon in. */
  constructor(path: string) {
    this.#path = path;
    const read = existsSync(path) ? stored.safeParse(parse(readFileSync(path, "utf8"))) : undefined;
    if (!read?.success) return;
    this.#port = read.data.port;
    this.#sessions = read.data.sessions.filter(isValid);
  }

  get isAny(): boolean {
    return this.#sessions.some(isValid);
  }

  get port(): number | undefined {
    return this.#port;
  }

  set port(port: number | undefined) {
    this.#port = port;
    this.#save();
  }

  /** A code for one login. */
  mint(): string {
    const now = Date.now();
    for (const [hash, expires_ms] of this.#codes) if (expires_ms <= now) this.#codes.delete(hash);
    if (this.#codes.size >= CODES_MAX) {
      throw new BangerError("limit_exceeded", "too many logins to the web UI are pending", {
        hint: `Open one of the printed addresses, or wait ${CODE_LIFETIME_MS / 60_000} minutes`,
      });
    }
    const code = randomBytes(32).toString("hex");
    this.#codes.set(hashOf(code), now + CODE_LIFETIME_MS);
    return code;
  }

  /** Undefined for a code that is unknown, used or expired. */
  exchange(code: string, { isSecure }: { isSecure: boolean }): Login | undefined {
    const hash = hashOf(code);
    const expires_ms = this.#codes.get(hash);
    this.#codes.delete(hash);
    if (expires_ms === undefined || expires_ms <= Date.now()) return undefined;
    const [id, cookie, key] = [4, 32, 32].map((size) => randomBytes(size).toString("hex")) as [
      string,
      string,
      string,
    ];
    const left = this.#sessions.filter(isValid);
    for (const old of left.splice(0, Math.max(0, left.length - SESSIONS_MAX + 1))) this.#end(old);
    const made = { id, cookieHash: hashOf(cookie), keyHash: hashOf(key) };
    this.#sessions = [...left, { ...made, expires_ms: Date.now() + SESSION_LIFETIME_MS }];
    this.#save();
    const flags = `Path=/ui; HttpOnly; SameSite=Strict; Max-Age=${SESSION_LIFETIME_MS / 1000}`;
    const setCookie = `${COOKIE_PREFIX}${id}=${cookie}; ${flags}${isSecure ? "; Secure" : ""}`;
    return { setCookie, key };
  }

  /** Undefined unless cookie and key are of the same session, which has not expired. */
  find(cookieHeader: string | null, key: string | undefined): UiSession | undefined {
    if (cookieHeader === null || key === undefined) return undefined;
    for (const pair of cookieHeader.split(";", COOKIES_MAX)) {
      const [name = "", value = ""] = pair.trim().split("=");
      const found = this.#sessions.find(({ id }) => name === `${COOKIE_PREFIX}${id}`);
      const isRight =
        found && isSame(found.cookieHash, hashOf(value)) && isSame(found.keyHash, hashOf(key));
      if (isRight && isValid(found)) return found;
    }
    return undefined;
  }

  /** Calls `end` when the session is over, until the result is disposed of. */
  hold({ id, expires_ms }: UiSession, end: () => void): Disposable {
    const held = this.#held.get(id) ?? new Set();
    this.#held.set(id, held.add(end));
    const timer = setTimeout(end, Math.max(0, expires_ms - Date.now())).unref();
    return {
      [Symbol.dispose]: () => {
        clearTimeout(timer);
        held.delete(end);
        if (held.size === 0 && this.#held.get(id) === held) this.#held.delete(id);
      },
    };
  }

  /** Gives the Set-Cookie field that removes its cookie. */
  end(ended: UiSession): string {
    this.#sessions = this.#sessions.filter(({ id }) => id !== ended.id);
    this.#end(ended);
    this.#save();
    return `${COOKIE_PREFIX}${ended.id}=; Path=/ui; HttpOnly; SameSite=Strict; Max-Age=0`;
  }

  endAll(): void {
    for (const each of this.#sessions.splice(0)) this.#end(each);
    this.#codes.clear();
    this.#port = undefined;
    this.#save();
  }

  #end({ id }: UiSession): void {
    for (const end of [...(this.#held.get(id) ?? [])]) end();
  }

  #save(): void {
    const sessions = this.#sessions.filter(isValid);
    if (sessions.length === 0 && this.#port === undefined) rmSync(this.#path, { force: true });
    else
      writeFileAtomic(this.#path, JSON.stringify({ port: this.#port, sessions }), { mode: 0o600 });
  }
}

/** Of 256 random bits, so a plain hash cannot be brute-forced. */
function hashOf(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}

function isSame(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}

function isValid({ expires_ms }: UiSession): boolean {
  return expires_ms > Date.now();
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
