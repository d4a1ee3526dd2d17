/** Flags that several commands share. */
import {
  bandwidthArg,
  countArg,
  countOrNoneArg,
  diskArg,
  durationArg,
  durationOrNeverArg,
  memoryArg,
  sizeOrNoneArg,
  textArg,
} from "#cli/args/numbers.ts";
import { secretFlag, sshAgentFlag } from "./secret.ts";
import { choice, list, toggle, value } from "./types.ts";
import { mountFlags } from "./volume.ts";

/** On every command. */
export const globalFlags = {
  json: toggle("--json", "Print JSON; streams print one document per line"),
  quiet: toggle("-q, --quiet", "Print only names, and no progress"),
  noColor: toggle("--no-color", "Disable colors (also: NO_COLOR=1)"),
  progress: choice("--progress <mode>", "Progress output (default: auto)", [
    "auto",
    "plain",
    "quiet",
  ]),
};

export const kernelFlags = {
  kernelRef: value("--kernel-ref <name>", "Kernel to boot", textArg, {
    completes: "kernel",
  }),
  kernel: value("--kernel <name>", "Same as --kernel-ref", textArg, {
    completes: "kernel",
    isHidden: true,
  }),
};

export const environmentFlags = {
  env: list(
    "-e, --env <name=value>",
    "Set an environment variable (visible in ps); NAME alone passes the host's value",
  ),
  envFile: list(
    "--env-file <file>",
    "Read environment variables from a file of NAME=value lines, for secrets",
    {
      completes: "path",
    },
  ),
};

/** What a new machine is made of. */
export const machineFlags = {
  name: value("--name <name>", "Name of the machine (default: generated)", textArg),
  ...kernelFlags,
  needs: value(
    "--needs <features>",
    "Kernel features required, such as containers,fuse; selects a kernel",
    textArg,
  ),
  nested: toggle("--nested", "Enable nested virtualization: the guest gets /dev/kvm"),
  mode: choice("--mode <mode>", "Boot the image's init system, or only the command", [
    "direct",
    "systemd",
  ]),
  cpus: value("--cpus <count>", "Number of virtual CPUs", countArg),
  memory: value("-m, --memory <size>", "Memory size, such as 512M or 2G", memoryArg),
  disk: value(
    "--disk <size>",
    "Size of the writable layer, such as 10G; allocated on demand",
    diskArg,
  ),
  diskBandwidth: value(
    "--disk-bandwidth <size>",
    "Limit each disk to this much per second, such as 50M, or none (the default)",
    sizeOrNoneArg,
  ),
  diskIops: value(
    "--disk-iops <count>",
    "Limit each disk to this many reads and writes per second, or none (the default)",
    countOrNoneArg,
  ),
  netBandwidth: value(
    "--net-bandwidth <size>",
    "Limit the network to this much per second in each direction, such as 10M, IN:OUT such as 10M:2M, or none (the default)",
    bandwidthArg,
  ),
  net: choice("--net <mode>", "Network mode", ["nat", "host", "user", "none"]),
  nat: toggle("--nat", "Same as --net nat"),
  vmm: choice("--vmm <vmm>", "VMM to use; auto selects the best available", [
    "auto",
    "firecracker",
    "qemu",
  ]),
  publish: list(
    "-p, --publish <port>",
    "Publish a port to the host: [ADDRESS:][HOST:]GUEST[/tcp|udp]",
  ),
  network: list("--network <name>", "Connect the machine to a named network", {
    completes: "network",
  }),
  allow: list(
    "--allow <rule>",
    "Allow outbound traffic only to NAME, *.NAME, ADDRESS or CIDR, each with an optional :PORT",
  ),
  deny: list("--deny <rule>", "Deny outbound traffic to NAME, *.NAME, ADDRESS or CIDR"),
  policy: list(
    "--policy <profiles>",
    "Allow outbound traffic to policy profiles, such as npm,github; see `banger policy list`",
  ),
  ask: toggle(
    "--ask",
    "Ask about destinations that no rule matches, in the terminal of `vm run -it` or `banger policy watch`",
  ),
  denyAll: toggle("--deny-all", "Deny all outbound traffic, except what --allow permits"),
  secret: secretFlag,
  sshAgent: sshAgentFlag,
  restart: choice("--restart <policy>", "Restart policy when the machine exits", [
    "no",
    "on-failure",
    "always",
  ]),
  idleStop: value(
    "--idle-stop <duration>",
    "Stop the machine after this idle time, such as 30m (default: never)",
    durationOrNeverArg,
  ),
  idleSuspend: value(
    "--idle-suspend <duration>",
    "Suspend the machine after this idle time, such as 10m (default: never)",
    durationOrNeverArg,
  ),
  ttl: value("--ttl <duration>", "Remove the machine, running or not, at this age", durationArg),
  hostname: value(
    "--hostname <name>",
    "Hostname of the guest (default: the machine's name)",
    textArg,
  ),
  label: list("--label <name=value>", "Set a label, which vm list can filter by"),
  ...mountFlags,
  ...environmentFlags,
};

/** Of the machines that an image build runs commands in. */
export const buildMachineFlags = {
  cpus: machineFlags.cpus,
  memory: machineFlags.memory,
  disk: machineFlags.disk,
  net: machineFlags.net,
  nat: machineFlags.nat,
};

export const commandFlags = {
  interactive: toggle("-i, --interactive", "Keep stdin open"),
  tty: toggle("-t, --tty", "Allocate a terminal"),
  workdir: value("-w, --workdir <dir>", "Working directory in the guest", textArg),
  user: value("-u, --user <user>", "User name or UID to run as, with an optional :group", textArg),
};
