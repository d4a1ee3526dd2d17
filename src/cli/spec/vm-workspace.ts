/** Commands for projects in machines. */
import { countArg, durationArg, sizeArg, textArg } from "#cli/args/numbers.ts";
import { command, group, list, one, optional, toggle, value } from "./types.ts";

const workspace = one("Machine, or NAME:/path if it has several workspaces", { completes: "vm" });
const repo = value(
  "--repo <dir>",
  "Repository on the host (default: the one it was imported from, or the current one)",
  textArg,
  { completes: "path" },
);
const user = value("-u, --user <user>", "Guest user who owns the files (default: root)", textArg);
const maxSize = value("--max-size <size>", "Limit for new objects (default: 4G)", sizeArg);

export const importFlags = {
  depth: value("--depth <count>", "Send only this many commits of the current branch", countArg),
  includeIgnored: list(
    "--include-ignored <pattern>",
    "Send ignored files that match, as in .gitignore",
  ),
  includeSecrets: toggle(
    "--include-secrets",
    "Send untracked files that may hold secrets, such as .env and private keys",
  ),
};

export const workspaceFlag = value(
  "--workspace <dir[:path]>",
  "Import a repository or directory, to /workspace or another path in the machine",
  textArg,
  { completes: "path" },
);

export const checkpointFlag = value(
  "--checkpoint-every <duration>",
  "Save checkpoints of the workspace at this interval, whenever files have changed",
  durationArg,
);

export const workspaceCommands = group(
  "Import a project into a machine, and get the changes back",
  {
    import: command({
      brief: "Import a repository or directory into a machine",
      details: `Commits, branches, index and working tree arrive as they are, with untracked files that are not ignored and
with submodules. No git is needed in the machine, nothing is written to your repository, and no hook or filter
of it runs. Importing again sends only what is missing, and is refused if it would overwrite changes.`,
      args: {
        vm: one("Machine name or ID", { completes: "vm" }),
        source: one("DIR, or DIR:/path for a path other than /workspace", { completes: "path" }),
      },
      flags: {
        ...importFlags,
        force: toggle(
          "-f, --force",
          "Overwrite files and branches that have changed in the machine",
        ),
        user,
      },
      examples: [
        "banger vm workspace import testbox .",
        "banger vm workspace import testbox ~/src/app:/srv/app --depth 1",
      ],
    }),
    list: command({
      brief: "List the imported workspaces of a machine",
      args: { vm: one("Machine name or ID", { completes: "vm" }) },
      flags: {},
      examples: ["banger vm workspace list testbox"],
    }),
    status: command({
      brief: "Show what has changed in a workspace, like git status",
      args: { workspace },
      flags: { short: toggle("-s, --short", "Print the short format"), repo },
      examples: ["banger vm workspace status testbox", "banger vm workspace status -s testbox"],
    }),
    diff: command({
      brief: "Show the changes in a workspace, like git diff",
      details:
        "Compares the working tree, untracked files included, with what was imported, or with a checkpoint FROM; with TO, two checkpoints.",
      args: {
        workspace,
        from: optional("Number of a checkpoint"),
        to: optional("Number of a later checkpoint"),
      },
      flags: {
        head: toggle("--head", "Compare with the machine's HEAD"),
        staged: toggle("--staged", "Compare the machine's index with its HEAD"),
        patch: toggle("-p, --patch", "Print patches (the default without --json)"),
        stat: toggle("--stat", "Print statistics only"),
        nameStatus: toggle("--name-status", "Print names and kinds of changes only"),
        repo,
      },
      examples: [
        "banger vm workspace diff testbox",
        "banger vm workspace diff --stat testbox",
        "banger vm workspace diff testbox 1 3",
      ],
    }),
    checkpoint: command({
      brief: "Save the working tree in the machine, to restore later",
      details: `Writes a commit to a ref that no branch or tag shows; branches, index and files stay as they are. Untracked files
are saved, ignored ones are not.`,
      args: { workspace },
      flags: {
        message: value("-m, --message <text>", "Message of the checkpoint", textArg),
        every: value(
          "--every <duration>",
          "Save at this interval whenever files have changed, until interrupted",
          durationArg,
        ),
        repo,
        user,
      },
      examples: [
        "banger vm workspace checkpoint testbox --message refactored",
        "banger vm workspace checkpoint testbox --every 5m",
      ],
    }),
    log: command({
      brief: "List the checkpoints of a workspace",
      args: { workspace },
      flags: { repo },
      examples: ["banger vm workspace log testbox", "banger vm workspace log testbox --json"],
    }),
    restore: command({
      brief: "Set the working tree in the machine back to a checkpoint",
      details: `Branches, index and ignored files stay as they are. What would be lost is saved as a checkpoint first.`,
      args: { workspace, checkpoint: one("Number of the checkpoint") },
      flags: { repo, user },
      examples: ["banger vm workspace restore testbox 2"],
    }),
    fetch: command({
      brief: "Fetch commits and uncommitted changes into refs/banger/NAME",
      details: `Branches become refs/banger/NAME/heads/BRANCH; uncommitted changes become commits on top of HEAD:
refs/banger/NAME/index and refs/banger/NAME/worktree. Objects are checked first. Nothing is checked out, and
no hook, configuration or submodule URL of the machine is used.`,
      args: { workspace },
      flags: { repo, maxSize },
      examples: ["banger vm workspace fetch testbox", "git log main..refs/banger/testbox/HEAD"],
    }),
    apply: command({
      brief: "Apply the changes in a workspace to your working tree",
      details: `Merges three-way with your changes since the import. If a change of yours would be lost, nothing is written.
Only the working tree changes: commits and the index stay as they are.`,
      args: { workspace },
      flags: { check: toggle("--check", "Print what would change, and write nothing"), repo },
      examples: ["banger vm workspace apply --check testbox", "banger vm workspace apply testbox"],
    }),
    sync: command({
      brief: "Mirror a directory and a workspace while you work, until Ctrl-C",
      details: `Begins with what has changed since the import or the last run. Files that git ignores, untracked files that may
hold secrets, and .git are left out. If both sides have changed a file, the host's keeps its name, and the
machine's is kept beside it as NAME.conflict-vm. With --to-vm or --from-vm, only changes of that side are
mirrored; what they would overwrite is kept in the same way.`,
      isEndless: true,
      args: {
        workspace,
        dir: optional("Directory on the host (default: the one it was imported from)", {
          completes: "path",
        }),
      },
      flags: {
        toVm: toggle("--to-vm", "Mirror changes on the host only"),
        fromVm: toggle("--from-vm", "Mirror changes in the machine only"),
        once: toggle("--once", "Mirror what has changed, and exit"),
        user,
      },
      examples: [
        "banger vm workspace sync testbox",
        "banger vm workspace sync --to-vm testbox:/srv/app ~/src/app",
      ],
    }),
    export: command({
      brief: "Write a workspace to a file",
      args: { workspace, file: one("File to write", { completes: "path" }) },
      flags: {
        patch: toggle("--patch", "The changes since the import, for git apply (the default)"),
        tar: toggle("--tar", "The files, as a tar archive"),
        bundle: toggle("--bundle", "Branches and uncommitted changes, as a git bundle"),
        force: toggle("-f, --force", "Overwrite the file"),
        repo,
      },
      examples: [
        "banger vm workspace export testbox changes.patch",
        "banger vm workspace export testbox --tar work.tar",
        "banger vm workspace export testbox --bundle work.bundle",
      ],
    }),
  },
);
