/** The tool that says what has changed in a machine. */
import { z } from "zod";
import type { BangerError } from "#base/error.ts";
import {
  readTreeRecords,
  type TreeEntry,
  TYPE_DIRECTORY,
  typeOf,
} from "#base/files/tree-records.ts";
import { machineField, omittedField, pathField, withoutUndefined } from "#mcp/fields.ts";
import { Excerpt, firstOf } from "#mcp/text.ts";
import { CHANGERS, READS, type ToolCall, tool } from "#mcp/tool.ts";
import { outputOf } from "#sdk/output.ts";

const CHANGES_MAX = 500;
const PATCH_BYTES = 64 * 1024;
const GIT_TIMEOUT_MS = 60_000;
/** Of the whole machine: what is none of its disk. */
const NOT_ON_DISK = /^(proc|sys|dev|run)(\/|$)/;

type Kind = "created" | "changed" | "removed";
interface Change {
  path: string;
  change: Kind;
}

export const diffTool = tool({
  name: "diff",
  title: "Show what has changed",
  description:
    "Lists what has changed below a directory: by default, files written since the machine was created or `since`; with `against`, differences to the same directory in another machine, such as the source of a fork. In a git working tree it returns the patch to HEAD as well, if the machine has git.",
  profile: "default",
  // Git runs in the machine.
  scopes: CHANGERS,
  annotations: READS,
  input: z.object({
    machine: machineField,
    path: pathField.optional().describe("Directory. Default: /."),
    against: machineField.optional().describe("Name or id of the machine to compare with."),
    since: z.iso.datetime().optional().describe("Instead: changes after this time."),
  }),
  output: z.object({
    changes: z.array(
      z.object({ path: z.string(), change: z.enum(["created", "changed", "removed"]) }),
    ),
    omitted: omittedField,
    patch: z.string().optional().describe("Of git, to HEAD."),
    patchOmitted_bytes: z.int().describe("Left out of the middle of the patch."),
  }),
  async run({ machine, path = "/", against, since }, call) {
    const vm = await call.machine(machine);
    const now = await treeOf(call, vm.id, path);
    const changes =
      against === undefined
        ? writtenSince(now, Date.parse(since ?? vm.createdAt))
        : differences(now, await treeOf(call, (await call.machine(against)).id, path));
    const under = path.endsWith("/") ? path : `${path}/`;
    const { first, omitted } = firstOf(changes, CHANGES_MAX);
    const patch = now.has(".git") ? await patchOf(call, vm.id, path) : undefined;
    return withoutUndefined({
      changes: first.map((each) => ({ ...each, path: `${under}${each.path}` })),
      omitted,
      patch: patch?.text(),
      patchOmitted_bytes: patch?.omitted_bytes ?? 0,
    });
  },
});

type Tree = Map<string, TreeEntry>;

async function treeOf({ backend, signal }: ToolCall, vm: string, path: string): Promise<Tree> {
  const chunks = outputOf((options) =>
    backend.exec({ kind: "tree", vm, path }, { ...options, signal }),
  );
  const tree: Tree = new Map();
  for await (const entry of readTreeRecords(chunks, { what: "the directory" })) {
    const name = Buffer.from(entry.name, "latin1").toString("utf8");
    if (name === "" || (path === "/" && NOT_ON_DISK.test(name))) continue;
    tree.set(name, entry);
  }
  return tree;
}

/** Git's own files are not of interest beside its patch. */
function isOfGit(path: string): boolean {
  return path.split("/").includes(".git");
}

/** A directory's time changes with every name in it. */
function writtenSince(now: Tree, since_ms: number): Change[] {
  return [...now]
    .filter(([path, entry]) => typeOf(entry) !== TYPE_DIRECTORY && !isOfGit(path))
    .filter(([, entry]) => entry.mtime_s * 1000 + entry.mtime_ns / 1e6 > since_ms)
    .map(([path]) => ({ path, change: "changed" as const }))
    .sort(byPath);
}

function differences(now: Tree, before: Tree): Change[] {
  const changes: Change[] = [];
  for (const [path, entry] of now) {
    const old = before.get(path);
    if (!old) changes.push({ path, change: "created" });
    else if (!isSame(entry, old)) changes.push({ path, change: "changed" });
  }
  for (const path of before.keys()) if (!now.has(path)) changes.push({ path, change: "removed" });
  return changes.filter(({ path }) => !isOfGit(path)).sort(byPath);
}

function isSame(a: TreeEntry, b: TreeEntry): boolean {
  if (a.mode !== b.mode) return false;
  if (typeOf(a) === TYPE_DIRECTORY) return true;
  const { size, mtime_s, mtime_ns, target } = b;
  return a.size === size && a.mtime_s === mtime_s && a.mtime_ns === mtime_ns && a.target === target;
}

function byPath(a: Change, b: Change): number {
  return a.path < b.path ? -1 : 1;
}

/** Undefined where git is missing or refuses. */
async function patchOf(call: ToolCall, vm: string, path: string): Promise<Excerpt | undefined> {
  const patch = new Excerpt(PATCH_BYTES);
  // The tree may be of another user than git runs as.
  const git = ["git", "-c", "safe.directory=*", "-C", path];
  const argv = [...git, "diff", "--no-color", "--no-ext-diff", "--no-textconv", "HEAD"];
  const { exited } = call.backend.exec(
    { kind: "exec", vm, exec: { argv, timeout_ms: GIT_TIMEOUT_MS } },
    { signal: call.signal, onStdout: patch.take, onStderr: () => {} },
  );
  try {
    const exit = await exited;
    return "code" in exit && exit.code === 0 ? patch : undefined;
  } catch (error) {
    if ((error as BangerError).code === "command_not_found") return undefined;
    throw error;
  }
}
