/** E2B's filesystem service. */
import { posix } from "node:path";
import { z } from "zod";
import { BangerError } from "#base/error.ts";
import { ConnectError } from "./connect.ts";
import { entryOf } from "./entry.ts";
import type { Guests, Target } from "./target.ts";

/** Of one listing, whatever its depth. */
const ENTRIES_MAX = 100_000;
const STDERR_MAX_BYTES = 4096;

export const pathRequest = z.object({ path: z.string().max(4095).optional() });
export const listRequest = pathRequest.extend({ depth: z.int().min(0).optional() });
export const moveRequest = z.object({
  source: z.string().min(1).max(4095),
  destination: z.string().min(1).max(4095),
});

export class Filesystem {
  readonly #guests: Guests;

  constructor(guests: Guests) {
    this.#guests = guests;
  }

  async stat(target: Target, { path = "" }: z.infer<typeof pathRequest>, user: User) {
    return {
      entry: await this.entry(target, await this.#guests.resolve(target, path, user), user),
    };
  }

  async entry(target: Target, path: string, user: User) {
    const as = await this.#as(target, user);
    const info = await target.backend.client.file.stat({ name: target.vm.id, path, ...as });
    return entryOf(path, info, await this.#guests.names(target));
  }

  /** With those above it. */
  async makeDir(target: Target, { path = "" }: z.infer<typeof pathRequest>, user: User) {
    const absolute = await this.#guests.resolve(target, path, user);
    const present = await this.#kind(target, absolute, user);
    if (present === "directory") {
      throw new ConnectError("already_exists", `directory already exists: ${absolute}`);
    }
    if (present) {
      throw new ConnectError("invalid_argument", `path is not a directory: ${absolute}`);
    }
    await this.#mkdir(target, absolute, user);
    return { entry: await this.entry(target, absolute, user) };
  }

  /** Succeeds if the path does not exist. */
  async remove(target: Target, { path = "" }: z.infer<typeof pathRequest>, user: User) {
    const absolute = await this.#guests.resolve(target, path, user);
    const options = { recursive: true, force: true, ...(await this.#as(target, user)) };
    await target.backend.client.file.remove({ name: target.vm.id, path: absolute, ...options });
    return {};
  }

  async listDir(target: Target, { path = "", depth }: z.infer<typeof listRequest>, user: User) {
    const root = await this.#guests.resolve(target, path, user);
    const kind = await this.#kind(target, root, user);
    if (!kind) throw new ConnectError("not_found", `directory not found: ${root}`);
    if (kind !== "directory" && kind !== "symlink") {
      throw new ConnectError("invalid_argument", `path is not a directory: ${root}`);
    }
    const names = await this.#guests.names(target);
    const as = await this.#as(target, user);
    const entries: ReturnType<typeof entryOf>[] = [];
    const walk = async (folder: string, left: number): Promise<void> => {
      const found = await target.backend.client.file.list({
        name: target.vm.id,
        path: folder,
        ...as,
      });
      for (const { name, ...info } of found) {
        const own = posix.join(folder, name);
        entries.push(entryOf(own, info, names));
        if (entries.length > ENTRIES_MAX) {
          throw new ConnectError(
            "failed_precondition",
            `more than ${ENTRIES_MAX} entries: ${root}`,
          );
        }
        if (left > 1 && info.kind === "directory") await walk(own, left - 1);
      }
    };
    await walk(root, depth || 1);
    return { entries };
  }

  /** As rename(2), by the sandbox's own mv; folders above the destination are made. */
  async move(target: Target, { source, destination }: z.infer<typeof moveRequest>, user: User) {
    const from = await this.#guests.resolve(target, source, user);
    const to = await this.#guests.resolve(target, destination, user);
    if (!(await this.#kind(target, from, user))) {
      throw new ConnectError("not_found", `source file not found: ${from}`);
    }
    if ((await this.#kind(target, to, user)) === "directory") {
      throw new ConnectError("already_exists", `destination is a directory: ${to}`);
    }
    await this.#mkdir(target, posix.dirname(to), user);
    const as = await this.#as(target, user);
    await run(target, { argv: ["mv", "-f", "--", from, to], ...as });
    return { entry: await this.entry(target, to, user) };
  }

  async assertFolder(target: Target, path: string, user: User): Promise<void> {
    const kind = await this.#kind(target, path, user);
    if (!kind) throw new ConnectError("not_found", `path ${path} not found`);
    if (kind !== "directory" && kind !== "symlink") {
      throw new ConnectError("invalid_argument", `path ${path} is not a directory`);
    }
  }

  async #mkdir(target: Target, path: string, user: User): Promise<void> {
    const as = await this.#as(target, user);
    await target.backend.client.file.mkdir({ name: target.vm.id, path, parents: true, ...as });
  }

  /** Undefined if it does not exist. */
  async #kind(target: Target, path: string, user: User) {
    try {
      const as = await this.#as(target, user);
      return (await target.backend.client.file.stat({ name: target.vm.id, path, ...as })).kind;
    } catch (error) {
      if (error instanceof BangerError && error.code === "not_found") return undefined;
      throw error;
    }
  }

  async #as(target: Target, user: User): Promise<{ user?: string }> {
    const chosen = user ?? (await this.#guests.defaults(target)).user;
    return chosen ? { user: chosen } : {};
  }
}

export type User = string | undefined;

async function run(
  { backend, vm }: Target,
  exec: { argv: string[]; user?: string },
): Promise<void> {
  let words = "";
  const decoder = new TextDecoder();
  const { exited } = backend.exec(
    { kind: "exec", vm: vm.id, exec },
    {
      onStderr(bytes) {
        if (words.length < STDERR_MAX_BYTES) words += decoder.decode(bytes, { stream: true });
      },
    },
  );
  const exit = await exited;
  if ("code" in exit && exit.code === 0) return;
  const isDenied = /permission denied|not permitted/i.test(words);
  throw new ConnectError(
    isDenied ? "permission_denied" : "internal",
    words.trim() || `Cannot run ${exec.argv[0]} in the sandbox`,
  );
}
