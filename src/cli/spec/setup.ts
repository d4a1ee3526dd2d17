/** Commands that need root once. */
import { countArg, textArg } from "#cli/args/numbers.ts";
import { command, group, toggle, value } from "./types.ts";

export const setupCommand = command({
  brief: "Set up networking for machines without root (run once, as root)",
  details:
    "Creates a bridge, tap devices owned by the user, firewall rules and IP forwarding, and a systemd unit that\nrestores them at boot. Running it again changes nothing. See docs/network.md for a list of the changes.",
  flags: {
    taps: value(
      "--taps <count>",
      "Maximum number of running machines with --net nat (default: current, or 8)",
      countArg,
    ),
    hostTaps: value(
      "--host-taps <count>",
      "Maximum number of running machines with --net host (default: current, or 0)",
      countArg,
    ),
    user: value(
      "--user <name>",
      "User to set up networking for (default: the user who ran sudo)",
      textArg,
    ),
    undo: toggle("--undo", "Remove everything that setup created"),
    dryRun: toggle("--dry-run", "Print the changes without making them; does not need root"),
    restore: toggle("--restore", "Restore the recorded setup, as the systemd unit does at boot"),
  },
  examples: [
    "sudo banger setup",
    "banger setup --dry-run",
    "sudo banger setup --taps 16 --host-taps 2",
    "sudo banger setup --undo",
  ],
});

export const dnsCommands = group("Manage name resolution on the host", {
  setup: command({
    brief: "Make NAME.vm resolve on the host",
    details:
      "Configures systemd-resolved, as root, until the bridge is removed. Without systemd-resolved, prints the manual steps.",
    examples: ["sudo banger dns setup"],
  }),
});
