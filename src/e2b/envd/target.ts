/** A sandbox as seen by its data plane: users, directories, and the base of relative paths. */
import { posix } from "node:path";
import type { Vm } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import type { Backend } from "#e2b/backend.ts";

/** How long a guest's list of users is taken to be as it was. */
const USERS_KEPT_MS = 5000;
const KEPT_MAX = 1000;

export interface Target {
  backend: Backend;
  vm: Vm;
}

interface Users {
  read_ms: number;
  homes: Map<string, string>;
  users: Map<number, string>;
  groups: Map<number, string>;
}

/** The image's settings for commands, cached: a sandbox keeps its image. */
interface Defaults {
  user: string | undefined;
  workdir: string | undefined;
}

export class Guests {
  readonly #users = new Map<string, Users>();
  readonly #defaults = new Map<string, Defaults>();

  /** User if the client names none; undefined means root. */
  async defaults({ backend, vm }: Target): Promise<Defaults> {
    const kept = this.#defaults.get(vm.id);
    if (kept) return kept;
    const config = await imageConfig(backend, vm.image);
    const isDirect = vm.mode === "direct";
    const defaults = {
      user: (isDirect && config?.user) || undefined,
      workdir: (isDirect && config?.workdir) || undefined,
    };
    if (this.#defaults.size >= KEPT_MAX) this.#defaults.clear();
    this.#defaults.set(vm.id, defaults);
    return defaults;
  }

  /** Names of ids; an id without one is itself, as `ls` has it. */
  async names(target: Target): Promise<{ user(uid: number): string; group(gid: number): string }> {
    const { users, groups } = await this.#read(target);
    return {
      user: (uid) => users.get(uid) ?? String(uid),
      group: (gid) => groups.get(gid) ?? String(gid),
    };
  }

  /** Absolute: "~" is the user's home, and what is relative begins at the image's folder, or at the home. */
  async resolve(target: Target, path: string, user: string | undefined): Promise<string> {
    if (path.startsWith("/")) return posix.normalize(path);
    const { workdir, user: other } = await this.defaults(target);
    if (!path.startsWith("~") && workdir) return posix.resolve("/", workdir, path);
    const home = await this.#home(target, user ?? other);
    return posix.resolve("/", home, path.replace(/^~(\/|$)/, ""));
  }

  async #home(target: Target, user: string | undefined): Promise<string> {
    const name = user?.split(":")[0] || "root";
    const { homes } = await this.#read(target);
    const home = homes.get(name);
    if (home !== undefined) return home;
    if (name === "root") return "/root";
    throw new BangerError("invalid_argument", `no such user "${name}" in the sandbox`);
  }

  async #read(target: Target): Promise<Users> {
    const { id } = target.vm;
    const now_ms = performance.now();
    const kept = this.#users.get(id);
    if (kept && now_ms - kept.read_ms < USERS_KEPT_MS) return kept;
    const [passwd, group] = await Promise.all([
      linesOf(target, "/etc/passwd"),
      linesOf(target, "/etc/group"),
    ]);
    const homes = new Map<string, string>();
    for (const [name = "", , uid = "", , , home = ""] of passwd) {
      homes.set(name, home || "/");
      homes.set(uid, home || "/");
    }
    const read = { read_ms: now_ms, homes, users: idsOf(passwd), groups: idsOf(group) };
    if (this.#users.size >= KEPT_MAX) this.#users.clear();
    this.#users.set(id, read);
    return read;
  }
}

function idsOf(lines: string[][]): Map<number, string> {
  // The first name of an id counts, as with getpwuid(3).
  const pairs = lines.map(([name = "", , id = ""]): [number, string] => [Number(id), name]);
  return new Map(pairs.reverse());
}

/** None for a file that is not there. */
async function linesOf({ backend, vm }: Target, path: string): Promise<string[][]> {
  try {
    const { data } = await backend.client.file.read({ name: vm.id, path });
    const lines = Buffer.from(data, "base64").toString().split("\n");
    return lines.map((line) => line.split(":")).filter((fields) => fields.length > 2);
  } catch (error) {
    if (error instanceof BangerError && error.code === "not_found") return [];
    throw error;
  }
}

/** Undefined for an image that has gone by its name. */
async function imageConfig({ client }: Backend, name: string) {
  try {
    return (await client.image.show({ name })).config;
  } catch (error) {
    if (error instanceof BangerError && error.code === "not_found") return undefined;
    throw error;
  }
}

/** The user name from HTTP basic authentication, whose password is empty. */
export function userOf(request: Request): string | undefined {
  const header = request.headers.get("Authorization") ?? "";
  const encoded = /^Basic\s+([A-Za-z0-9+/=]+)$/i.exec(header)?.[1];
  if (!encoded) return undefined;
  const [name] = Buffer.from(encoded, "base64").toString().split(":");
  return name || undefined;
}
