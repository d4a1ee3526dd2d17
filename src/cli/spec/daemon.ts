import { countArg, textArg } from "#cli/args/numbers.ts";
import { command, group, toggle, value } from "./types.ts";

export const daemonCommands = group("Manage the daemon, which starts on demand", {
  start: command({ brief: "Start the daemon", examples: ["banger daemon start"] }),
  stop: command({
    brief: "Stop the daemon; running machines keep running",
    examples: ["banger daemon stop"],
  }),
  restart: command({
    brief: "Restart the daemon; running machines keep running",
    details: "Checks the configuration first: if it is invalid, the running daemon stays.",
    examples: ["banger daemon restart"],
  }),
  status: command({
    brief: "Show the daemon's status",
    examples: ["banger daemon status", "banger daemon status --json"],
  }),
  logs: command({
    brief: "Print the daemon's log",
    flags: {
      follow: toggle("-f, --follow", "Follow the log output"),
      tail: value(
        "-n, --tail <lines>",
        "Number of lines to show from the end of the log",
        countArg,
      ),
    },
    examples: ["banger daemon logs -f"],
  }),
  enable: command({
    brief: "Install a systemd user unit that starts the daemon at boot",
    details:
      "The daemon then starts the machines whose restart policy asks for it. The unit also delegates a control group, so that memory and CPU limits of machines are enforced.",
    flags: { print: toggle("--print", "Print the unit without installing it") },
    examples: ["banger daemon enable", "banger daemon enable --print"],
  }),
  disable: command({
    brief: "Remove the systemd unit; running machines are not affected",
    examples: ["banger daemon disable"],
  }),
  run: command({
    brief: "Run the daemon in the foreground",
    details: "For service managers. The log goes to stderr.",
    flags: {
      check: toggle("--check", "Check the configuration and exit"),
      restarts: value(
        "--restarts <count>",
        "Restart after a crash; number of earlier restarts",
        countArg,
        {
          isHidden: true,
        },
      ),
    },
    examples: ["banger daemon run", "banger daemon run --check"],
  }),
});

export const repairCommand = command({
  brief: "Reconcile recorded state with the host, and print each change",
  details:
    "The daemon does this every time it starts. Only resources that banger created are changed or removed.",
  flags: { dryRun: toggle("--dry-run", "Print the changes without making them") },
  examples: ["banger repair --dry-run", "banger repair --json"],
});

export const eventsCommand = command({
  brief: "Stream machine events",
  isEndless: true,
  examples: ["banger events", "banger events --json"],
});

export const debugCommands = group("Collect debugging information", {
  bundle: command({
    brief: "Write logs, records and checks to a tar file, for bug reports",
    flags: {
      output: value("-o, --output <file>", "File to write (default: banger-debug.tar)", textArg, {
        completes: "path",
      }),
    },
    examples: ["banger debug bundle", "banger debug bundle -o /tmp/banger.tar"],
  }),
});
