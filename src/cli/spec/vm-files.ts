/** The commands about the files of machines. */
import { modeArg } from "#cli/args/guest-path.ts";
import { textArg } from "#cli/args/numbers.ts";
import { command, group, one, some, toggle, value } from "./types.ts";

const PATH = "Machine and path, as in testbox:/etc/hosts";
const user = value("-u, --user <user>", "User to do it as (default: root)", textArg);
const path = one(PATH, { completes: "file" });
const paths = some(PATH, { completes: "file" });

const cat = command({
  brief: "Print files of machines",
  args: { paths },
  flags: { user },
  examples: ["banger vm file cat testbox:/etc/os-release"],
});

const mkdir = command({
  brief: "Create directories in machines",
  args: { paths },
  flags: {
    parents: toggle("-p, --parents", "Those above as well, and no error if it exists"),
    mode: value("-m, --mode <mode>", "Permissions, such as 700", modeArg),
    user,
  },
  examples: ["banger vm file mkdir -p testbox:/srv/app/data"],
});

const stat = command({
  brief: "Show a file of a machine",
  args: { path },
  flags: { user },
  examples: ["banger vm file stat testbox:/etc/passwd", "banger vm file stat --json testbox:/tmp"],
});

const watch = command({
  brief: "Print what changes below a path of a machine, until ^C",
  isEndless: true,
  args: { path },
  flags: { recursive: toggle("-r, --recursive", "With all directories below it"), user },
  examples: ["banger vm file watch -r testbox:/srv", "banger vm file watch --json testbox:/tmp"],
});

export const vmFileCommands = {
  cp: command({
    brief: "Copy files and trees into a machine, or out of it",
    details: `As \`cp -a\`: modes, times, links and holes are kept. Into a machine the owners are as well, or are
the user of --user; what comes out is yours. SRC/. is what is in a directory; \`-\` is a tar archive
on standard input or output. No directory is created but the last one of a path that takes the
contents of another.`,
    args: {
      source: one("File, directory, or -; that of a machine as testbox:/path", {
        completes: "file-or-path",
      }),
      target: one("Where it goes; one of both is a machine's", { completes: "file-or-path" }),
    },
    flags: { user },
    examples: [
      "banger vm cp ./app testbox:/srv",
      "banger vm cp testbox:/var/log/. logs",
      "tar -c . | banger vm cp - testbox:/srv/app",
      "banger vm cp testbox:/etc - | tar -tv",
    ],
  }),
  file: group("Files and directories in machines", {
    list: command({
      brief: "List a directory of a machine",
      aliases: ["ls"],
      args: { path },
      flags: { user },
      examples: ["banger vm file ls testbox:/etc", "banger vm file ls --json testbox:/srv"],
    }),
    cat,
    mkdir,
    rm: command({
      brief: "Remove files of machines",
      aliases: ["remove", "delete"],
      args: { paths },
      flags: {
        force: toggle("-f, --force", "No error for a file that does not exist"),
        recursive: toggle("-r, --recursive", "Directories with all that is in them"),
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
