/** Options of docker run that banger does not have or names differently, with what to use instead. */

const ownKernel = "Not needed: a machine has its own kernel, and root in the guest is unrestricted";

const hints: Readonly<Record<string, string>> = {
  "--mount": "Use -v NAME:/path for a volume, -v ./DIR:/path for a directory of the host",
  "--publish-all": "Publish each port with -p, such as -p 8080:80",
  "-P": "Publish each port with -p, such as -p 8080:80",
  "--link": "Put both machines on a named network: --network NAME; they find each other as NAME.vm",
  "--net-alias": "Machines on a named network find each other as NAME.vm",
  "--network-alias": "Machines on a named network find each other as NAME.vm",
  "--add-host": "Machines find each other as NAME.vm; add other names to /etc/hosts in the guest",
  "--dns": "Machines use the resolver of the host",
  "--ip": "Addresses are assigned from a pool; list them with: banger vm list",
  "--mac-address": "Show it with: banger vm show NAME",
  "--privileged": ownKernel,
  "--cap-add": ownKernel,
  "--cap-drop": "Drop it in the guest: banger vm exec NAME -- setpriv --bounding-set=-CAP COMMAND",
  "--security-opt": ownKernel,
  "--userns": ownKernel,
  "--pid": ownKernel,
  "--ipc": ownKernel,
  "--cgroupns": ownKernel,
  "--device": "Host devices are not available in machines",
  "--gpus": "Host devices are not available in machines",
  "--init": "Not needed: the agent is PID 1 and reaps processes",
  "--memory-swap": "Set the swap of the machine with --swap, and its memory with -m",
  "--memory-reservation": "Set the memory of the machine with -m",
  "--cpu-shares": "Set the number of CPUs with --cpus",
  "-c": "Set the number of CPUs with --cpus",
  "--cpuset-cpus": "Set the number of CPUs with --cpus",
  "--cpu-quota": "Set the number of CPUs with --cpus",
  "--pids-limit": "Not needed: processes in a machine do not count against the host's limit",
  "--log-driver": "Show the output with: banger vm logs NAME",
  "--log-opt": "Show the output with: banger vm logs NAME",
  "--stop-timeout": "Pass it to stop: banger vm stop --grace 30s NAME",
  "--pull": "Pull a newer image with: banger image update NAME",
  "--platform": "Pass it to pull: banger image pull --platform linux/amd64 IMAGE",
  "--runtime": "Choose the VMM with --vmm",
  "--cidfile": "The name is printed; set one with --name",
  "--health-cmd": "Health checks come from the image label banger.checks",
  "--no-healthcheck": "Health checks come from the image label banger.checks",
  "--group-add": "Pass the group with the user: -u USER:GROUP",
  "--attach": "Output is attached unless --detach is given; see: banger vm exec --help",
  "--filter": "Filter by label with --label NAME=VALUE; for anything else: --json",
  "--format": "Print JSON with --json, for programs such as jq",
  "--output": "Print JSON with --json, for programs such as jq",
  "-o": "Print JSON with --json, for programs such as jq",
  "-a": "Output is attached unless --detach is given; see: banger vm exec --help",
};

const modeIsFixed =
  "The network mode cannot be changed; for a named network: banger network connect NETWORK NAME";
const mounts = "Mounts are set at creation: banger vm create -v NAME:/path";
const ports = "Publish ports with: banger vm port add NAME 8080:80";
const narrowed =
  "Show fewer with --running, --label NAME=VALUE or a name: banger vm show NAME; for anything else: --json";

/** Where an option is not to be had, by the command. */
const hintsOf: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "vm list": {
    "--filter": narrowed,
    "-f": narrowed,
    "--latest": "The newest machine is the last line",
    "-l": "The newest machine is the last line; for a label: --label NAME=VALUE",
    "--last": "The newest machines are the last lines",
    "-n": "The newest machines are the last lines",
    "--no-trunc": "Output with --json is not truncated",
  },
  "vm create": {
    "--checkpoint-every": "Save checkpoints with: banger vm workspace checkpoint NAME --every 5m",
  },
  "vm workspace checkpoint": {
    "--checkpoint-every": "Use --every 5m",
    "--interval": "Use --every 5m",
  },
  "vm set": {
    "--name": "Rename it with: banger vm rename NAME NEW-NAME",
    "--net": modeIsFixed,
    "--network": modeIsFixed,
    "--nat": modeIsFixed,
    "--publish": ports,
    "-p": ports,
    "--publish-rm": "Unpublish ports with: banger vm port rm NAME 8080",
    "--publish-add": ports,
    "--allow": "Change the policy with: banger vm policy allow NAME example.com:443",
    "--volume": mounts,
    "-v": mounts,
    "--tmpfs": mounts,
    "--image":
      "The image cannot be changed; create another machine: banger vm create --image IMAGE",
    "--kernel-ref":
      "The kernel cannot be changed; create another machine: banger vm create --kernel-ref NAME",
    "--mode": "The mode cannot be changed; create another machine: banger vm create --mode direct",
  },
};

const values: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "--net": {
    bridge: "Use --net nat",
    default: "Use --net nat",
    slirp4netns: "Use --net user",
    pasta: "Use --net user",
  },
  "--restart": {
    "unless-stopped": "Use --restart always: a machine that you stop stays stopped",
    "on-failure": "Use --restart on-failure without a count: retries back off",
  },
};

/** For a value that docker knows, or podman, and banger does not; "on-failure:3" counts as "on-failure". */
export function dockerValueHint(option: string, value: string): string | undefined {
  const known = Object.hasOwn(values, option) ? values[option] : undefined;
  const name = value.split(":")[0] ?? "";
  if (known && Object.hasOwn(known, name)) return known[name];
  return option === "--net" ? "Connect it to a named network with: --network NAME" : undefined;
}

/** Undefined for what is no option of docker's, or has no answer here. `command`: such as "vm list". */
export function dockerOptionHint(option: string, command = ""): string | undefined {
  const name = option.split("=")[0] ?? "";
  // "-v/src:/dst" has its value with it.
  const isJoined = name.length > 2 && !name.startsWith("--");
  const short = isJoined ? name.slice(0, 2) : name;
  const own = Object.hasOwn(hintsOf, command) ? hintsOf[command] : undefined;
  for (const table of [own, hints]) {
    if (table && Object.hasOwn(table, short)) return table[short];
  }
  return undefined;
}
