/** Commands for files of machines. */
import { modeArg } from "#cli/args/guest-path.ts";
import { textArg } from "#cli/args/numbers.ts";
import { command, group, one, some, toggle, value } from "./types.ts";

const PATH = "File in a machine, such as testbox:/etc/hosts";
const user = value("-u, --user <user>", "Guest user to act as (default: root)", textArg);
const path = one(PATH, { completes: "file" });
const paths = some(PATH, { completes: "file" });

const cat = command({
  brief: "Print files in machines",
  args: { paths },
  flags: { user },
  examples: ["banger vm file cat testbox:/etc/os-release"],
});

const mkdir = command({
  brief: "Create directories in machines",
  args: { paths },
  flags: {
    parents: toggle("-p, --parents", "Create parent directories; no error if the directory exists"),
    mode: value("-m, --mode <mode>", "Permission mode, such as 700", modeArg),
    user,
  },
  examples: ["banger vm file mkdir -p testbox:/srv/app/data"],
});

const stat = command({
  brief: "Show the status of a file in a machine",
  args: { path },
  flags: { user },
  examples: ["banger vm file stat testbox:/etc/passwd", "banger vm file stat --json testbox:/tmp"],
});

const watch = command({
  brief: "Watch a path in a machine for changes, until Ctrl-C",
  isEndless: true,
  args: { path },
  flags: { recursive: toggle("-r, --recursive", "Watch subdirectories too"), user },
  examples: ["banger vm file watch -r testbox:/srv", "banger vm file watch --json testbox:/tmp"],
});

export const vmFileCommands = {
  cp: command({
    brief: "Copy files between the host and a machine",
    details: `Works like \`cp -a\`: modes, times, links and sparse files are preserved. Copies into a machine also preserve
owners, unless --user is given; copies to the host belong to you. SRC/. copies the contents of a directory.
\`-\` is a tar archive on stdin or stdout. Missing parent directories are not created, except the last
directory of the target when SRC/. is copied.`,
    args: {
      source: one("File, directory or -; in a machine, NAME:/path", {
        completes: "file-or-path",
      }),
      target: one("Destination; either the source or the target must be in a machine", {
        completes: "file-or-path",
      }),
    },
    flags: { user },
    examples: [
      "banger vm cp ./app testbox:/srv",
      "banger vm cp testbox:/var/log/. logs",
      "tar -c . | banger vm cp - testbox:/srv/app",
      "banger vm cp testbox:/etc - | tar -tv",
    ],
  }),
  file: group("Manage files in machines", {
    list: command({
      brief: "List a directory in a machine",
      aliases: ["ls"],
      args: { path },
      flags: { user },
      examples: ["banger vm file ls testbox:/etc", "banger vm file ls --json testbox:/srv"],
    }),
    cat,
    mkdir,
    rm: command({
      brief: "Remove files in machines",
      aliases: ["remove", "delete"],
      args: { paths },
      flags: {
        force: toggle("-f, --force", "Ignore nonexistent files"),
        recursive: toggle("-r, --recursive", "Remove directories and their contents recursively"),
        user,
      },
      examples: ["banger vm file rm testbox:/etc/motd", "banger vm file rm -r testbox:/srv/old"],
    }),
    stat,
    watch,
  }),
  // The same, shorter.
  cat: { ...cat, isHidden: true },
  mkdir: { ...mkdir, isHidden: true },
  stat: { ...stat, isHidden: true },
  watch: { ...watch, isHidden: true },
};
