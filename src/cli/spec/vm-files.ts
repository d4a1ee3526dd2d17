/** The commands about the files of machines. */
import { modeArg } from "#cli/args/guest-path.ts";
import { textArg } from "#cli/args/numbers.ts";
import { command, one, some, toggle, value } from "./types.ts";

const PATH = "Machine and path, as in testbox:/etc/hosts";
const user = value("-u, --user <user>", "User to do it as (default: root)", textArg);
const path = one(PATH, { completes: "vm" });
const paths = some(PATH, { completes: "vm" });

export const vmFileCommands = {
  cp: command({
    brief: "Copy files and trees into a machine, or out of it",
    details: `As \`cp -a\`: modes, times, links and holes are kept. Into a machine the owners are as well, or are
the user of --user; what comes out is yours. SRC/. is what is in a folder; \`-\` is a tar archive
on standard input or output.`,
    args: {
      source: one("File, folder, or -; that of a machine as testbox:/path", { completes: "path" }),
      target: one("Where it goes; one of both is a machine's", { completes: "path" }),
    },
    flags: { user },
    examples: [
      "banger vm cp ./app testbox:/srv",
      "banger vm cp testbox:/var/log/. logs",
      "tar -c . | banger vm cp - testbox:/srv/app",
      "banger vm cp testbox:/etc - | tar -tv",
    ],
  }),
  cat: command({
    brief: "Print files of machines",
    args: { paths },
    flags: { user },
    examples: ["banger vm cat testbox:/etc/os-release"],
  }),
  mkdir: command({
    brief: "Make folders in machines",
    args: { paths },
    flags: {
      parents: toggle("-p, --parents", "Those above as well, and no error if it is there"),
      mode: value("-m, --mode <mode>", "Permissions, such as 700", modeArg),
      user,
    },
    examples: ["banger vm mkdir -p testbox:/srv/app/data"],
  }),
  stat: command({
    brief: "Show a file of a machine",
    args: { path },
    flags: { user },
    examples: ["banger vm stat testbox:/etc/passwd", "banger vm stat --json testbox:/tmp"],
  }),
  watch: command({
    brief: "Print what changes below a path of a machine, until ^C",
    args: { path },
    flags: { recursive: toggle("-r, --recursive", "With all folders below it"), user },
    examples: ["banger vm watch -r testbox:/srv", "banger vm watch --json testbox:/tmp"],
  }),
};
