/** Host keys by name, from the files of the user's own ssh: ssh-keygen reads them, hashed names included. */
import { run } from "#base/run.ts";

const SYSTEM_FILE = "/etc/ssh/ssh_known_hosts";
/** A machine may ask as often as it likes. */
const KEEP_MS = 2000;
const LOOK_TIMEOUT_MS = 10_000;

export interface HostKeys {
  /** Keys that are known for the host, in base64. Never rejects. */
  keysOf(host: string): Promise<ReadonlySet<string>>;
}

export class KnownHosts implements HostKeys {
  readonly #file: string;
  readonly #kept = new Map<string, { at_ms: number; keys: Promise<ReadonlySet<string>> }>();

  /** `file`: the user's own. */
  constructor(file: string) {
    this.#file = file;
  }

  async keysOf(host: string): Promise<ReadonlySet<string>> {
    const now_ms = performance.now();
    const kept = this.#kept.get(host);
    if (kept && now_ms - kept.at_ms < KEEP_MS) return await kept.keys;
    const keys = this.#read(host);
    this.#kept.set(host, { at_ms: now_ms, keys });
    return await keys;
  }

  async #read(host: string): Promise<ReadonlySet<string>> {
    const texts = await Promise.all([this.#file, SYSTEM_FILE].map((file) => find(host, file)));
    return parseKnownHosts(texts.join("\n"));
  }
}

/** Lines of ssh-keygen -F. Keys that a line revokes are left out, and so are authorities that sign host keys. */
export function parseKnownHosts(text: string): ReadonlySet<string> {
  const keys = new Set<string>();
  const revoked = new Set<string>();
  for (const line of text.split("\n")) {
    const words = line.trim().split(/\s+/);
    const marker = words[0]?.startsWith("@") ? words.shift() : undefined;
    const [names = "", , key] = words;
    if (names === "" || names.startsWith("#") || key === undefined) continue;
    if (marker === "@revoked") revoked.add(key);
    else if (marker === undefined) keys.add(key);
  }
  return new Set([...keys].filter((key) => !revoked.has(key)));
}

/** Nothing where there is no such host, no such file, or no ssh-keygen. */
async function find(host: string, file: string): Promise<string> {
  try {
    const argv = ["ssh-keygen", "-F", host, "-f", file];
    return (await run(argv, { timeout_ms: LOOK_TIMEOUT_MS })).stdout;
  } catch {
    return "";
  }
}
