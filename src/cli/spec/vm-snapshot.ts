/** Machines on disk, and copies of machines that run. */
import { countArg, textArg } from "#cli/args/numbers.ts";
import { command, group, list, one, optional, some, toggle, value } from "./types.ts";

const machine = one("Machine name or ID", { completes: "vm" });
const snapshot = one("Name of the snapshot", { completes: "snapshot" });

export const snapshotCommands = group("Manage snapshots of machines", {
  create: command({
    brief: "Save a machine: its disk, and its memory if it is running",
    details:
      "A running machine is paused for a moment, and goes on. A snapshot with memory holds every secret that the machine has in use.",
    args: { vm: machine, name: optional("Name of the snapshot (default: generated)") },
    flags: {
      diskOnly: toggle("--disk-only", "Save only the disk of a running machine"),
      workspace: toggle("--workspace", "Write a checkpoint of the machine's workspace first"),
      name: value("--name <name>", "Same as NAME", textArg),
    },
    examples: [
      "banger vm snapshot create testbox ready",
      "banger vm snapshot create --disk-only testbox",
    ],
  }),
  list: command({
    brief: "List snapshots",
    aliases: ["ls"],
    examples: ["banger vm snapshot list", "banger vm snapshot ls -q"],
  }),
  show: command({
    brief: "Show details of a snapshot",
    aliases: ["inspect"],
    args: { snapshot },
    examples: ["banger vm snapshot show ready"],
  }),
  rm: command({
    brief: "Remove one or more snapshots",
    details: "Machines that were created from them have copies, and stay.",
    aliases: ["remove", "delete"],
    args: { snapshots: some("Names of snapshots", { completes: "snapshot" }) },
    examples: ["banger vm snapshot rm ready"],
  }),
  export: command({
    brief: "Write a snapshot to an archive",
    details: "Compressed with zstd if the name of the file ends in .zst.",
    args: { snapshot, file: one("File to write", { completes: "path" }) },
    flags: { force: toggle("-f, --force", "Overwrite the file") },
    examples: ["banger vm snapshot export ready ready.tar.zst"],
  }),
  import: command({
    brief: "Read a snapshot from an archive",
    details:
      "Machines are created from it if its image is on this host; their memory is restored if the VMM is the same.",
    args: {
      file: one("File to read", { completes: "path" }),
      name: optional("Name of the snapshot (default: as exported)"),
    },
    flags: { name: value("--name <name>", "Same as NAME", textArg) },
    examples: ["banger vm snapshot import ready.tar.zst"],
  }),
});

export const copyCommands = {
  restore: command({
    brief: "Restore a machine to one of its snapshots",
    details:
      "Its disk, and its memory if the snapshot has it, are as they were then; everything since is lost. The machine keeps its name and addresses.",
    args: { vm: machine, snapshot },
    examples: ["banger vm restore testbox ready"],
  }),
  fork: command({
    brief: "Create running copies of a running machine, which keeps running",
    details: `Each copy continues from the same moment, with its own name, addresses, machine ID and ssh host key. Its open
network connections are reset, and no ports are published but those of -p.`,
    args: { vm: machine },
    flags: {
      count: value("-n, --count <count>", "Number of copies (default: 1)", countArg),
      name: value(
        "--name <pattern>",
        "Names of the copies; {} is the number of each (default: generated)",
        textArg,
      ),
      publish: list("-p, --publish <port>", "Publish a port of each copy: GUEST[/tcp|udp]"),
    },
    examples: ["banger vm fork testbox", "banger vm fork testbox -n 4 --name test-{} -p 80"],
  }),
};
