/** Everything that is known of secrets: the keyring, commands, and what each machine may use. */
import { createHmac, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import type {
  MachineSecretRequest,
  SecretSource as Source,
  StoredSecret,
} from "#api/secrets/secret.ts";
import { BangerError, errnoOf } from "#base/error.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { CommandSecrets } from "./command.ts";
import { Keyring, type KeyringEntry } from "./keyring.ts";
import type { MachineSecret, SecretSource } from "./secret.ts";

const KEY_BYTES = 32;
const PLACEHOLDER_HEX_LENGTH = 32;

/** What the record of a machine has of its secrets. */
export interface MachineRecord {
  lineage: string;
  secrets: readonly Omit<MachineSecret, "placeholder">[];
}

export interface KeeperOptions {
  keyring: string;
  /** File of this host's key, which placeholders and certificates are derived from. */
  key: string;
  /** Undefined: the machine has no secrets, or is gone. */
  machine: (id: string) => MachineRecord | undefined;
}

export class SecretKeeper implements SecretSource {
  readonly #keyring: Keyring;
  readonly #commands = new CommandSecrets();
  readonly #options: KeeperOptions;
  #hostKey: Uint8Array | undefined;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#keyring = new Keyring(options.keyring);
  }

  list(): StoredSecret[] {
    return this.#keyring.list().map(([name, entry]) => toApi(name, entry));
  }

  set(name: string, source: Source): StoredSecret {
    return toApi(name, this.#keyring.set(name, source));
  }

  /** `not_found`. */
  remove(name: string): void {
    if (this.#keyring.remove(name)) return;
    throw new BangerError("not_found", `no such secret "${name}"`, {
      hint: "List secrets with: banger secret list",
    });
  }

  /** Keeps the values that were given, and throws for a secret that has none. */
  keep(lineage: string, requests: readonly MachineSecretRequest[]): void {
    const values: Record<string, string> = {};
    for (const { name, value } of requests) {
      if (value !== undefined) values[name] = value;
      else if (!this.#keyring.find(name)) throw missing(name);
    }
    if (Object.keys(values).length > 0) this.#keyring.keepForMachine(lineage, values);
  }

  prune(isThere: (lineage: string) => boolean): void {
    this.#keyring.prune(isThere);
  }

  /** The same for a machine and its copies: programs in their memory have it. */
  placeholder(lineage: string, name: string): string {
    const mac = createHmac("sha256", this.hostKey()).update(`placeholder ${lineage} ${name}`);
    return `banger_${mac.digest("hex").slice(0, PLACEHOLDER_HEX_LENGTH)}`;
  }

  /** Made when it is first needed. */
  hostKey(): Uint8Array {
    this.#hostKey ??= readKey(this.#options.key);
    return this.#hostKey;
  }

  of(machineId: string): MachineSecret[] {
    const machine = this.#options.machine(machineId);
    if (!machine) return [];
    const { lineage, secrets } = machine;
    return secrets.map((each) => ({ ...each, placeholder: this.placeholder(lineage, each.name) }));
  }

  lineage(machineId: string): string {
    const machine = this.#options.machine(machineId);
    if (machine) return machine.lineage;
    throw new BangerError("not_found", "the machine has no secrets any more");
  }

  async value(machineId: string, name: string): Promise<string> {
    const own = this.#keyring.ofMachine(this.lineage(machineId), name);
    if (own !== undefined) return own;
    const source = this.#keyring.find(name)?.source;
    if (!source) throw missing(name);
    if ("value" in source) return source.value;
    return await this.#commands.value(name, source);
  }

  known(machineId: string, names: readonly string[]): string[] {
    const lineage = this.lineage(machineId);
    return names.flatMap((name) => {
      const source = this.#keyring.find(name)?.source;
      const stored = source && "value" in source ? source.value : undefined;
      const all = [this.#keyring.ofMachine(lineage, name), stored, this.#commands.known(name)];
      return all.filter((value) => value !== undefined);
    });
  }
}

function toApi(name: string, { source, changedAt }: KeyringEntry): StoredSecret {
  if ("value" in source) return { name, kind: "value", changedAt };
  return { name, kind: "command", command: source.command, changedAt };
}

function missing(name: string): BangerError {
  return new BangerError("not_found", `no such secret "${name}"`, {
    hint: `Store it with: banger secret set ${name}`,
  });
}

function readKey(path: string): Uint8Array {
  try {
    const key = readFileSync(path);
    if (key.length === KEY_BYTES) return key;
    throw new BangerError("integrity", `Cannot use ${path}: it does not have ${KEY_BYTES} bytes`, {
      hint: `Remove it, and restart machines with secrets: rm ${path}`,
    });
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
  const key = randomBytes(KEY_BYTES);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileAtomic(path, key);
  return key;
}
