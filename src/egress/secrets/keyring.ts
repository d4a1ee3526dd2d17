/**
 * The user's keyring: a file that nobody else can read. It has the secrets that the user has stored by name, and the
 * values that were given for single machines. Every process of the user's reads it, and the daemon alone writes it.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { z } from "zod";
import { secretName, secretSource, secretValue } from "#api/secrets/secret.ts";
import { BangerError, errnoOf, messageOf } from "#base/error.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { MiB } from "#base/size.ts";

const KEYRING_MAX_BYTES = 4 * MiB;
const SECRETS_MAX = 1000;

const entry = z.object({ source: secretSource, changedAt: z.iso.datetime() });
export type KeyringEntry = z.infer<typeof entry>;

const keyring = z.object({
  format: z.literal(1),
  secrets: z.record(secretName, entry),
  /** By the lineage of a machine and its copies. */
  machines: z.record(z.string(), z.record(secretName, secretValue)),
});
type Content = z.infer<typeof keyring>;

const EMPTY: Content = { format: 1, secrets: {}, machines: {} };

export class Keyring {
  readonly #path: string;
  #read: { key: string; content: Content } | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  find(name: string): KeyringEntry | undefined {
    const { secrets } = this.#content();
    return Object.hasOwn(secrets, name) ? secrets[name] : undefined;
  }

  list(): [name: string, KeyringEntry][] {
    return Object.entries(this.#content().secrets).sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** The value that was given for a machine when it was created. */
  ofMachine(lineage: string, name: string): string | undefined {
    const own = this.#content().machines[lineage];
    return own && Object.hasOwn(own, name) ? own[name] : undefined;
  }

  set(name: string, source: KeyringEntry["source"]): KeyringEntry {
    const added = { source, changedAt: new Date().toISOString() };
    this.#change(({ secrets, ...rest }) => {
      const next = { ...secrets, [name]: added };
      if (Object.keys(next).length > SECRETS_MAX) {
        throw new BangerError("limit_exceeded", `too many secrets: more than ${SECRETS_MAX}`);
      }
      return { ...rest, secrets: next };
    });
    return added;
  }

  remove(name: string): boolean {
    if (!this.find(name)) return false;
    this.#change(({ secrets: { [name]: _, ...secrets }, ...rest }) => ({ ...rest, secrets }));
    return true;
  }

  keepForMachine(lineage: string, values: Record<string, string>): void {
    this.#change(({ machines, ...rest }) => ({
      ...rest,
      machines: { ...machines, [lineage]: { ...machines[lineage], ...values } },
    }));
  }

  /** Forgets the values of machines that are gone. */
  prune(isThere: (lineage: string) => boolean): void {
    const all = Object.entries(this.#content().machines);
    const left = all.filter(([lineage]) => isThere(lineage));
    if (left.length === all.length) return;
    this.#change((content) => ({ ...content, machines: Object.fromEntries(left) }));
  }

  #change(next: (content: Content) => Content): void {
    const text = `${JSON.stringify(next(this.#content()), undefined, 2)}\n`;
    if (Buffer.byteLength(text) > KEYRING_MAX_BYTES) {
      throw new BangerError("limit_exceeded", `Cannot write ${this.#path}: too many secrets`);
    }
    writeFileAtomic(this.#path, text, { mode: 0o600 });
    this.#read = undefined;
  }

  /** Read again when the file is another one, or has changed. */
  #content(): Content {
    let fd: number;
    try {
      fd = openSync(this.#path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return EMPTY;
      throw new BangerError("invalid_state", `Cannot read the keyring: ${messageOf(error)}`);
    }
    try {
      const info = fstatSync(fd);
      this.#assertPrivate(info);
      const key = `${info.ino} ${info.mtimeMs} ${info.size}`;
      if (this.#read?.key === key) return this.#read.content;
      const bytes = Buffer.alloc(Math.min(info.size, KEYRING_MAX_BYTES) + 1);
      const content = this.#parse(bytes.toString("utf8", 0, readSync(fd, bytes)));
      this.#read = { key, content };
      return content;
    } finally {
      closeSync(fd);
    }
  }

  #assertPrivate(info: { uid: number; mode: number; isFile: () => boolean; size: number }): void {
    const path = this.#path;
    const refuse = (why: string, hint: string): never => {
      throw new BangerError("invalid_state", `Cannot use the keyring ${path}: ${why}`, { hint });
    };
    if (!info.isFile()) refuse("not a regular file", `Move it away: mv ${path} ${path}.old`);
    const user_uid = process.geteuid?.() ?? 0;
    if (info.uid !== user_uid)
      refuse("it belongs to another user", `sudo chown ${user_uid} ${path}`);
    if ((info.mode & 0o077) !== 0) refuse("other users have access to it", `chmod 600 ${path}`);
    if (info.size > KEYRING_MAX_BYTES) refuse("it is too large", "Remove secrets from it");
  }

  /** What is wrong is not quoted: it may be a part of a secret. */
  #parse(text: string): Content {
    try {
      return keyring.parse(JSON.parse(text));
    } catch {
      throw new BangerError("invalid_state", `Cannot read the keyring ${this.#path}: not valid`, {
        hint: `Move it away and store your secrets again: mv ${this.#path} ${this.#path}.old`,
      });
    }
  }
}
