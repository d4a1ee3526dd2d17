/** What takes root once. */
import { countArg, textArg } from "#cli/args/numbers.ts";
import { command, group, toggle, value } from "./types.ts";

export const setupCommand = command({
  brief: "As root, once: leave a network that machines of a user are connected to without root",
  details:
    "Makes a bridge, taps that belong to the user, rules and forwarding, and a unit that makes them again at boot.\nThe same again changes nothing. docs/network.md lists what it leaves.",
  flags: {
    taps: value(
      "--taps <count>",
      "How many machines with --net nat run at a time; 8, or as before",
      countArg,
    ),
    hostTaps: value(
      "--host-taps <count>",
      "How many with --net host; none, or as before",
      countArg,
    ),
    user: value("--user <name>", "Whose machines; who called sudo unless given", textArg),
    undo: toggle("--undo", "Take all of it away again"),
    dryRun: toggle("--dry-run", "Only print what would be done; needs no root"),
    restore: toggle("--restore", "Make again what was set up, as the unit does at boot"),
  },
  examples: [
    "sudo banger setup",
    "banger setup --dry-run",
    "sudo banger setup --taps 16 --host-taps 2",
    "sudo banger setup --undo",
  ],
});

export const dnsCommands = group("Names of machines", {
  setup: command({
    brief: "Make NAME.vm resolve on this computer",
    details:
      "With systemd-resolved it does so as root, and for as long as the bridge is there; elsewhere it prints what to do.",
    examples: ["sudo banger dns setup"],
  }),
});
