/** The commands about sessions of machines. */
import { countArg, durationArg, sizeArg, textArg } from "#cli/args/numbers.ts";
import { environmentFlags } from "./flags.ts";
import { any, command, group, list, one, optional, some, toggle, value } from "./types.ts";

/** Those that are sent by hand. */
const SIGNALS = "HUP INT QUIT KILL USR1 USR2 TERM CONT STOP TSTP WINCH".split(" ");

const vm = one("Name or id of the machine", { completes: "vm" });
const session = one("Name of the session", { completes: "session" });
const sessions = some("Names of sessions", { completes: "session" });

export const sessionCommands = group("Commands in machines that go on without you", {
  start: command({
    brief: "Start a command in a machine as a session",
    details:
      "It goes on when you leave, when the daemon is restarted, and until the machine ends. Its output is kept.",
    args: {
      vm,
      session: one("Name to give it"),
      command: some("Command and its arguments"),
    },
    flags: {
      tty: toggle("-t, --tty", "Give the command a terminal"),
      attach: toggle("-a, --attach", "Attach to it at once"),
      workdir: value("-w, --workdir <dir>", "Folder to start in", textArg),
      user: value("-u, --user <user>", "User to run as, with an optional :group", textArg),
      ring: value(
        "--ring <size>",
        "Output that the machine keeps while the daemon is away (default: 1M)",
        sizeArg,
      ),
      ...environmentFlags,
    },
    isPassThrough: true,
    examples: [
      "banger vm session start testbox build -- make -j4",
      "banger vm session start -t -a testbox shell -- bash",
    ],
  }),
  list: command({
    brief: "List sessions, of all machines or of one",
    aliases: ["ls"],
    args: { vm: optional("Name or id of the machine", { completes: "vm" }) },
    examples: ["banger vm session list", "banger vm session list --json testbox"],
  }),
  show: command({
    brief: "Show one session",
    aliases: ["inspect"],
    args: { vm, session },
    examples: ["banger vm session show testbox build"],
  }),
  logs: command({
    brief: "Print what a session has said",
    args: { vm, session },
    flags: {
      follow: toggle("-f, --follow", "Go on printing what it says, until it ends"),
      tail: value("-n, --tail <lines>", "Only the last lines", countArg),
      bytes: value("--bytes <size>", "Only the last of it, such as 4K", sizeArg),
    },
    examples: ["banger vm session logs testbox build", "banger vm session logs -f testbox build"],
  }),
  attach: command({
    brief: "Join your terminal to a session",
    details: `Any number of terminals may be attached to one session. The exit status is that of the session's
command when it ends, and 0 when you leave it with ^P ^Q.`,
    args: { vm, session },
    flags: {
      tail: value("-n, --tail <lines>", "Lines that it printed before to print first", countArg),
      bytes: value("--bytes <size>", "The same, as a size (default: 4K)", sizeArg),
      noStdin: toggle("--no-stdin", "Only look on"),
      detachKeys: value(
        "--detach-keys <keys>",
        'Keys that leave it (default: "ctrl-p,ctrl-q")',
        textArg,
      ),
    },
    examples: ["banger vm session attach testbox shell"],
  }),
  send: command({
    brief: "Give a session input: text, keys or a file",
    details: `Text is sent as it is, with no newline of its own. Keys are named as enter, tab, esc, space, up,
down, left, right, home, end, pageup, pagedown, delete, backspace, f1 to f12, and ctrl-a to ctrl-z.`,
    args: { vm, session, text: any("Text, joined by spaces") },
    flags: {
      key: list("-k, --key <key>", "Send a key, after the text; may be repeated"),
      file: value("-f, --file <file>", "Send a file, or standard input as -", textArg, {
        completes: "path",
      }),
      eof: toggle("--eof", "End its input afterwards; to a terminal it is ^D"),
    },
    examples: [
      "banger vm session send testbox shell 'echo hello' -k enter",
      "banger vm session send testbox shell -k ctrl-c",
      "banger vm session send testbox load --file dump.sql --eof",
    ],
  }),
  signal: command({
    brief: "Send a session's processes a signal",
    args: { vm, session, signal: one("Such as INT, TERM or HUP", { choices: SIGNALS }) },
    examples: ["banger vm session signal testbox server HUP"],
  }),
  kill: command({
    brief: "Kill sessions",
    args: { vm, sessions },
    examples: ["banger vm session kill testbox build"],
  }),
  wait: command({
    brief: "Wait until a session has ended, and exit as it did",
    args: { vm, session },
    flags: { timeout: value("--timeout <duration>", "Give up after this time", durationArg) },
    examples: ["banger vm session wait testbox build"],
  }),
  rm: command({
    brief: "Remove sessions that have ended, with their logs",
    aliases: ["remove"],
    args: { vm, sessions },
    flags: { force: toggle("-f, --force", "Kill those that run") },
    examples: ["banger vm session rm testbox build"],
  }),
});
