/** Commands for volumes, and flags of what is mounted in a new machine. */
import { diskArg, sizeArg, textArg } from "#cli/args/numbers.ts";
import { command, group, list, one, optional, some, toggle, value } from "./types.ts";

const volume = one("Volume name", { completes: "volume" });

export const mountFlags = {
  volume: list(
    "-v, --volume <mount>",
    "Mount a volume, NAME:/path[:ro], created if needed, or share a directory, ./DIR:/path[:ro]",
    { completes: "volume" },
  ),
  tmpfs: list("--tmpfs <mount>", "Mount a tmpfs: /path[:size=64M,mode=1777]"),
  shmSize: value("--shm-size <size>", "Size of /dev/shm, such as 1G", sizeArg),
  ulimit: list("--ulimit <limit>", "Set a limit of commands: nofile=1024[:4096]"),
  sysctl: list("--sysctl <name=value>", "Set a kernel parameter of the guest"),
  readOnly: toggle("--read-only", "Mount the root file system read-only, in direct mode"),
  swap: value("--swap <size>", "Swap space on the machine's disk, such as 2G", sizeArg),
};

export const volumeCommands = group("Manage volumes: disks that outlive their machines", {
  create: command({
    brief: "Create a volume",
    details: "It is a sparse ext4 file system: its size is a limit, and takes no space.",
    args: { name: optional("Volume name") },
    flags: {
      size: value("--size <size>", "Size, such as 50G (default: vm.disk)", diskArg),
      name: value("--name <name>", "Same as NAME", textArg),
    },
    examples: ["banger volume create pgdata", "banger volume create cache --size 50G"],
  }),
  list: command({
    brief: "List volumes and the machines that mount them",
    aliases: ["ls"],
    examples: ["banger volume list", "banger volume ls -q"],
  }),
  show: command({
    brief: "Show details of a volume",
    aliases: ["inspect"],
    args: { volume },
    examples: ["banger volume show pgdata"],
  }),
  resize: command({
    brief: "Grow a volume and its file system",
    details: `In a running machine on QEMU that writes to it, the file system grows at once; otherwise when the volume is next
mounted for writing. A volume cannot shrink.`,
    args: { volume, size: one("New size, such as 100G") },
    examples: ["banger volume resize pgdata 100G"],
  }),
  rm: command({
    brief: "Remove unused volumes and their data",
    aliases: ["remove", "delete"],
    args: { volumes: some("Volume names", { completes: "volume" }) },
    examples: ["banger volume rm pgdata"],
  }),
  prune: command({
    brief: "Remove all volumes that no machine mounts, and their data",
    flags: { force: toggle("-f, --force", "Do not list the volumes or prompt for confirmation") },
    examples: ["banger volume prune"],
  }),
});

const machine = one("Machine name or ID", { completes: "vm" });

export const vmVolumeCommands = group("Attach volumes to machines", {
  attach: command({
    brief: "Mount a volume in a stopped machine, from its next start on",
    args: {
      vm: machine,
      mount: one("NAME:/path[:ro]; the volume is created if needed", { completes: "volume" }),
    },
    examples: ["banger vm volume attach testbox cache:/var/cache"],
  }),
  detach: command({
    brief: "Remove the mount of a volume from a stopped machine",
    aliases: ["rm"],
    details: "The volume and its data stay.",
    args: { vm: machine, volume },
    examples: ["banger vm volume detach testbox cache"],
  }),
});
