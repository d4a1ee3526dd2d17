import { countArg, textArg } from "#cli/args/numbers.ts";
import { command, group, toggle, value } from "./types.ts";

export const daemonCommands = group("The background service, started when it is needed", {
  start: command({ brief: "Start the daemon", examples: ["banger daemon start"] }),
  stop: command({
    brief: "Stop the daemon; running machines are not affected",
    examples: ["banger daemon stop"],
  }),
  restart: command({
    brief: "Restart the daemon; running machines are not affected",
    details: "A daemon that could not start again with the configuration as it is goes on.",
    examples: ["banger daemon restart"],
  }),
  status: command({
    brief: "Show whether the daemon runs",
    examples: ["banger daemon status", "banger daemon status --json"],
  }),
  logs: command({
    brief: "Print the daemon's log",
    flags: {
      follow: toggle("-f, --follow", "Go on printing what is added"),
      tail: value("-n, --tail <lines>", "Only the last lines", countArg),
    },
    examples: ["banger daemon logs -f"],
  }),
  enable: command({
    brief: "Let systemd start the daemon at boot, and with it the machines that are to run",
    details:
      "Writes and starts a unit of yours. It also gives the daemon a control group, in which it can hold each machine to its memory and processors.",
    flags: { print: toggle("--print", "Only print the unit") },
    examples: ["banger daemon enable", "banger daemon enable --print"],
  }),
  disable: command({
    brief: "Remove the systemd unit; running machines are not affected",
    examples: ["banger daemon disable"],
  }),
  run: command({
    brief: "Run the daemon in the foreground",
    details: "For service managers: the log goes to standard error.",
    flags: {
      check: toggle("--check", "Only check the configuration"),
      restarts: value("--restarts <count>", "Restart it after a crash; so often before", countArg, {
        isHidden: true,
      }),
    },
    examples: ["banger daemon run", "banger daemon run --check"],
  }),
});

export const repairCommand = command({
  brief: "Make the records and this computer agree, and print what was done",
  details:
    "A daemon does the same when it starts. Only what banger has made is ever changed or removed.",
  flags: { dryRun: toggle("--dry-run", "Only print what would be done") },
  examples: ["banger repair --dry-run", "banger repair --json"],
});

export const eventsCommand = command({
  brief: "Print what happens to machines, as it happens",
  isEndless: true,
  examples: ["banger events", "banger events --json"],
});

export const debugCommands = group("For reports of trouble", {
  bundle: command({
    brief: "Write logs, records and checks to a tar file, without keys and environments",
    flags: {
      output: value("-o, --output <file>", "Where; default: banger-debug.tar", textArg, {
        completes: "path",
      }),
    },
    examples: ["banger debug bundle", "banger debug bundle -o /tmp/banger.tar"],
  }),
});
