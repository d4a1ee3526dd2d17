/** Converts the flags of `vm create` and `vm run` to an API request. */
import type { VmCreate } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import type { Input } from "#cli/spec/types.ts";
import type { vmCommands } from "#cli/spec/vm.ts";
import { readEnvironment } from "./env.ts";
import { labelsOf } from "./labels.ts";
import { limitsOf } from "./limits.ts";
import { machineSecretsOf } from "./machine-secret.ts";
import { mountsOf } from "./mounts.ts";
import { parsePort } from "./ports.ts";
import { absoluteReference } from "./reference.ts";
import { readSshAgent } from "./ssh-agent.ts";

const EVERYTHING = ["0.0.0.0/0", "::/0"];

type CreateInput = Input<typeof vmCommands.commands.create>;
type CreateFlags = CreateInput["flags"];
type MachineFlags = Omit<
  CreateFlags,
  | "image"
  | "snapshot"
  | "noStart"
  | "noCommand"
  | "entrypoint"
  | "workspace"
  | "depth"
  | "includeIgnored"
  | "includeSecrets"
  | "tooling"
  | "setup"
>;

/** What `vm create` asks for, tools aside. */
export function vmCreateRequest({ args, flags }: CreateInput): VmCreate {
  // With --image the first word is the command's.
  const words = [args.image, ...args.command].filter((word) => word !== undefined);
  const image = flags.image ?? words.shift();
  const { entrypoint, snapshot, workspace } = flags;
  if (flags.noCommand && (words.length > 0 || entrypoint)) {
    throw new BangerError("invalid_argument", "conflicting options: --no-command and a command");
  }
  if (snapshot !== undefined && (image !== undefined || words.length > 0)) {
    throw new BangerError("invalid_argument", "conflicting options: --snapshot and an image");
  }
  if (workspace !== undefined && (flags.noStart || words.length > 0)) {
    const other = flags.noStart ? "--no-start" : "a command";
    throw new BangerError("invalid_argument", `conflicting options: --workspace and ${other}`, {
      hint: "Start the command after the import, with: banger vm exec -d NAME -- COMMAND",
    });
  }
  return {
    snapshot,
    ...createRequest(image, flags, flags),
    // A command would run before its files are there.
    command: words.length > 0 || flags.noCommand || workspace ? words : undefined,
    entrypoint: entrypoint === undefined ? undefined : entrypoint === "" ? [] : [entrypoint],
    ...(flags.noStart ? { start: false } : {}),
  };
}

export function createRequest(
  image: string | undefined,
  flags: Omit<MachineFlags, "env" | "envFile">,
  environment: Pick<MachineFlags, "env" | "envFile">,
): VmCreate {
  const { name, needs, mode, cpus, memory, disk, restart, ttl, idleStop, idleSuspend, hostname } =
    flags;
  const kernel = kernelOf(flags);
  const network = networkOf(flags);
  const env = readEnvironment(environment);
  const ports = flags.publish.map(parsePort);
  return {
    image: image === undefined ? undefined : absoluteReference(image),
    name,
    kernel,
    needs,
    nested: flags.nested || undefined,
    mode,
    cpus,
    memory_mib: memory,
    disk_bytes: disk,
    limits: limitsOf(flags),
    network,
    ports: ports.length === 0 ? undefined : ports,
    monitor: flags.vmm,
    networks: flags.network.length === 0 ? undefined : flags.network,
    policy: policyOf(flags),
    secrets: machineSecretsOf(flags.secret),
    sshAgent: readSshAgent(flags.sshAgent),
    ...mountsOf(flags),
    hostname,
    labels: flags.label.length === 0 ? undefined : labelsOf(flags.label),
    restart,
    ttl_ms: ttl,
    idleStop_ms: idleStop,
    idleSuspend_ms: idleSuspend,
    env,
  };
}

/** `--kernel` and `--kernel-ref` are two names of one flag. */
export function kernelOf(flags: {
  kernel: string | undefined;
  kernelRef: string | undefined;
}): string | undefined {
  return flags.kernelRef ?? flags.kernel;
}

/** Denied destinations go first: a rule that allows more must not open them. */
function policyOf({
  allow,
  deny,
  policy,
  denyAll,
  ask,
}: Pick<MachineFlags, "allow" | "deny" | "policy" | "denyAll" | "ask">): VmCreate["policy"] {
  const profiles = policy.flatMap((text) => text.split(",")).map((name) => `@${name.trim()}`);
  const denied = deny.map((rule) => `deny ${rule}`);
  const allowed = [...allow, ...profiles];
  if (denied.length + allowed.length === 0 && !denyAll && !ask) return undefined;
  // Without a word about what is allowed, all but the denied is.
  const isOpen = allowed.length === 0 && denied.length > 0 && !denyAll && !ask;
  const rules = [...denied, ...allowed, ...(isOpen ? EVERYTHING : [])];
  return { allow: rules, ...(ask ? { ask } : {}) };
}

export function networkOf({ net, nat }: Pick<MachineFlags, "net" | "nat">) {
  if (nat && net !== undefined && net !== "nat") {
    throw new BangerError("invalid_argument", `conflicting options: --nat and --net ${net}`);
  }
  return nat ? "nat" : net;
}
