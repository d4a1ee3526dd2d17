/** Commands for sessions of machines. */
import { countArg, durationArg, sizeArg, textArg } from "#cli/args/numbers.ts";
import { environmentFlags } from "./flags.ts";
import { any, command, group, list, one, optional, some, toggle, value } from "./types.ts";

/** Those that are sent by hand. */
const SIGNALS = "HUP INT QUIT KILL USR1 USR2 TERM CONT STOP TSTP WINCH".split(" ");

const vm = one("Machine name or ID", { completes: "vm" });
const session = one("Session name", { completes: "session" });
const sessions = some("Session names", { completes: "session" });

export const sessionCommands = group("Manage background sessions in machines", {
  start: command({
    brief: "Start a command in a background session",
    details:
      "The session keeps running when you disconnect and when the daemon restarts, until the machine stops. Its output is logged.",
    args: {
      vm,
      session: one("Name of the new session"),
      command: some("Command and its arguments"),
    },
    flags: {
      tty: toggle("-t, --tty", "Allocate a terminal"),
      attach: toggle("-a, --attach", "Attach to the session immediately"),
      workdir: value("-w, --workdir <dir>", "Working directory in the guest", textArg),
      user: value(
        "-u, --user <user>",
        "User name or UID to run as, with an optional :group",
        textArg,
      ),
      ring: value(
        "--ring <size>",
        "Size of the output buffer in the guest while the daemon is down (default: 1M)",
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
    brief: "List sessions of all machines or of one",
    aliases: ["ls"],
    args: { vm: optional("Machine name or ID", { completes: "vm" }) },
    examples: ["banger vm session list", "banger vm session list --json testbox"],
  }),
  show: command({
    brief: "Show details of a session",
    aliases: ["inspect"],
    args: { vm, session },
    examples: ["banger vm session show testbox build"],
  }),
  logs: command({
    brief: "Print the output of a session",
    args: { vm, session },
    flags: {
      follow: toggle("-f, --follow", "Follow the output until the session ends"),
      tail: value(
        "-n, --tail <lines>",
        "Number of lines to show from the end of the output",
        countArg,
      ),
      bytes: value("--bytes <size>", "Amount of output to show from the end, such as 4K", sizeArg),
    },
    examples: ["banger vm session logs testbox build", "banger vm session logs -f testbox build"],
  }),
  attach: command({
    brief: "Attach the terminal to a session",
    details: `Several terminals can attach to the same session. The exit status is that of the session's command,
or 0 if you detach with Ctrl-P Ctrl-Q.`,
    args: { vm, session },
    flags: {
      tail: value("-n, --tail <lines>", "Lines of earlier output to print first", countArg),
      bytes: value(
        "--bytes <size>",
        "Amount of earlier output to print first (default: 4K)",
        sizeArg,
      ),
      noStdin: toggle("--no-stdin", "Do not attach stdin"),
      detachKeys: value(
        "--detach-keys <keys>",
        'Key sequence to detach (default: "ctrl-p,ctrl-q")',
        textArg,
      ),
    },
    examples: ["banger vm session attach testbox shell"],
  }),
  send: command({
    brief: "Send input to a session: text, keys or a file",
    details: `Text is sent as is, without a trailing newline. Key names: enter, tab, esc, space, up,
down, left, right, home, end, pageup, pagedown, delete, backspace, f1 to f12, and ctrl-a to ctrl-z.`,
    args: { vm, session, text: any("Text to send; words are joined by spaces") },
    flags: {
      key: list("-k, --key <key>", "Key to send after the text; repeatable"),
      file: value("-f, --file <file>", "File to send, or - for stdin", textArg, {
        completes: "path",
      }),
      eof: toggle("--eof", "Close the session's stdin afterwards; on a terminal, send Ctrl-D"),
    },
    examples: [
      "banger vm session send testbox shell 'echo hello' -k enter",
      "banger vm session send testbox shell -k ctrl-c",
      "banger vm session send testbox load --file dump.sql --eof",
    ],
  }),
  signal: command({
    brief: "Send a signal to the processes of a session",
    args: { vm, session, signal: one("Signal, such as INT, TERM or HUP", { choices: SIGNALS }) },
    examples: ["banger vm session signal testbox server HUP"],
  }),
  kill: command({
    brief: "Kill one or more sessions",
    args: { vm, sessions },
    examples: ["banger vm session kill testbox build"],
  }),
  wait: command({
    brief: "Wait for a session to end, and exit with its exit status",
    args: { vm, session },
    flags: { timeout: value("--timeout <duration>", "Maximum time to wait", durationArg) },
    examples: ["banger vm session wait testbox build"],
  }),
  rm: command({
    brief: "Remove ended sessions and their logs",
    aliases: ["remove", "delete"],
    args: { vm, sessions },
    flags: { force: toggle("-f, --force", "Kill running sessions first") },
    examples: ["banger vm session rm testbox build"],
  }),
});
