/** Secrets that a command on the host prints: short-lived tokens, kept in memory until they expire. */
import { z } from "zod";
import { secretValue } from "#api/secrets/secret.ts";
import { BangerError } from "#base/error.ts";
import { run } from "#base/run.ts";
import { KiB } from "#base/size.ts";

const TIMEOUT_MS = 30_000;
const OUTPUT_MAX_BYTES = 64 * KiB;
const TTL_DEFAULT_S = 300;
/** A token is asked for anew this long before it expires. */
const EARLY_MS = 10_000;

/** What the command may print in place of the bare token. */
const document = z.object({
  token: z.string().optional(),
  access_token: z.string().optional(),
  /** Seconds from now, as OAuth has it. */
  expires_in: z.number().positive().optional(),
  expiresAt: z.string().optional(),
});

export interface CommandSource {
  command: readonly string[];
  ttl_s?: number | undefined;
}

interface Token {
  value: string;
  until: number;
}

interface Held {
  made: Promise<Token>;
  /** While it is being made: for as long as that takes. */
  until: number;
}

export class CommandSecrets {
  readonly #tokens = new Map<string, Held>();
  readonly #known = new Map<string, string>();

  /** The same command is run once, however many ask. */
  async value(name: string, source: CommandSource): Promise<string> {
    const key = JSON.stringify([name, source]);
    const { value } = await (this.#fresh(key) ?? this.#run(key, name, source));
    this.#known.set(name, value);
    return value;
  }

  /** The last one that was printed, also when it has expired. */
  known(name: string): string | undefined {
    return this.#known.get(name);
  }

  #fresh(key: string): Promise<Token> | undefined {
    const held = this.#tokens.get(key);
    return held && held.until - EARLY_MS > Date.now() ? held.made : undefined;
  }

  #run(key: string, name: string, source: CommandSource): Promise<Token> {
    const held: Held = { made: printed(name, source), until: Number.POSITIVE_INFINITY };
    this.#tokens.set(key, held);
    held.made.then(
      ({ until }) => {
        held.until = until;
      },
      () => {
        held.until = 0;
      },
    );
    return held.made;
  }
}

async function printed(
  name: string,
  { command, ttl_s = TTL_DEFAULT_S }: CommandSource,
): Promise<Token> {
  const limits = { timeout_ms: TIMEOUT_MS, outputMax_bytes: OUTPUT_MAX_BYTES };
  const { exitCode, stdout } = await run(command, limits);
  // What it printed is not for a log.
  if (exitCode !== 0) throw failure(name, `exit status ${exitCode}`);
  const { token, until } = parse(stdout.trim());
  const value = secretValue.safeParse(token);
  if (!value.success) throw failure(name, value.error.issues[0]?.message ?? "no token");
  return { value: value.data, until: until ?? Date.now() + ttl_s * 1000 };
}

function parse(text: string): { token: string; until?: number } {
  if (!text.startsWith("{")) return { token: text };
  const found = document.safeParse(parseJson(text));
  if (!found.success) return { token: "" };
  const { token, access_token, expires_in, expiresAt } = found.data;
  const at = expiresAt === undefined ? Number.NaN : Date.parse(expiresAt);
  const until = expires_in === undefined ? at : Date.now() + expires_in * 1000;
  return { token: token ?? access_token ?? "", ...(Number.isNaN(until) ? {} : { until }) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function failure(name: string, why: string): BangerError {
  return new BangerError("unavailable", `Cannot get secret ${name} from its command: ${why}`, {
    hint: "Run the command by hand: it must print a token, or JSON with token and expires_in",
  });
}
