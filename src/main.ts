/** Which program am I: the daemon as `bangerd` or `banger daemon run`, otherwise the command line. */
import { basename } from "node:path";
import { runCli } from "#cli/main.ts";
import type { Programs } from "#cli/programs.ts";

const programs: Programs = {
  daemon: () => import("#daemon/main.ts"),
  networkHelper: () => import("#daemon/network-helper.ts"),
  shareServer: () => import("#share/serve.ts"),
  foreground: () => import("#daemon/foreground.ts"),
};

const words = process.argv.slice(2);
const isDaemon = basename(process.argv0) === "bangerd" && words.length === 0;
process.exit(await runCli(isDaemon ? ["daemon", "run"] : words, programs));
