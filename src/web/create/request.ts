/** What the form says: volumes that are made first, the request for the machine, and what is imported into it. */
import type { PortRequest } from "#api/network.ts";
import type { VmCreate } from "#api/vm.ts";
import { parseBytes } from "#web/parts/format.ts";
import { wordsOf } from "#web/parts/words.ts";
import {
  type NewVolume,
  type VolumeRow,
  volumesOf,
  type Workspace,
  workspaceOf,
} from "./mounts.ts";
import { NO_POLICY, type PolicyForm, policyOf } from "./rules.ts";
import { type SecretRow, secretsOf } from "./secrets.ts";

const MIB = 1024 * 1024;
const PORT_MAX = 65_535;

/** As typed. */
export interface Form extends PolicyForm {
  image: string;
  name: string;
  kernel: string;
  mode: string;
  cpus: string;
  memory: string;
  disk: string;
  network: string;
  /** Words and lines of several are separated by blanks or line ends. */
  ports: string;
  env: string;
  labels: string;
  command: string;
  restart: string;
  /** Named ones. */
  networks: readonly string[];
  volumes: readonly VolumeRow[];
  secrets: readonly SecretRow[];
  /** On the host. */
  workspace: string;
  /** In the machine. */
  workspacePath: string;
}

export const EMPTY: Form = {
  image: "",
  name: "",
  kernel: "",
  mode: "",
  cpus: "",
  memory: "",
  disk: "",
  network: "",
  ports: "",
  env: "",
  labels: "",
  command: "",
  restart: "",
  networks: [],
  volumes: [],
  secrets: [],
  workspace: "",
  workspacePath: "",
  ...NO_POLICY,
};

export type Problems = Partial<Record<keyof Form, string>>;

export interface Plan {
  /** Created before the machine. */
  volumes: readonly NewVolume[];
  request: VmCreate;
  /** Imported after it has started. */
  workspace: Workspace | undefined;
}

/** `volumes`: names of those that exist. */
export function planOf(
  form: Form,
  { volumes: known = [] }: { volumes?: readonly string[] } = {},
): Plan & { problems: Problems } {
  const problems: Problems = {};
  const request: Record<string, unknown> = {};
  const take = (field: keyof Form, key: keyof VmCreate, value: unknown, problem: string) => {
    if (String(form[field]).trim() === "") return;
    if (value === undefined) problems[field] = problem;
    else request[key] = value;
  };
  for (const key of ["image", "name", "kernel", "mode", "network", "restart"] as const) {
    take(key, key, form[key].trim(), "");
  }
  const cpus = Number(form.cpus);
  take("cpus", "cpus", Number.isInteger(cpus) && cpus > 0 ? cpus : undefined, "a whole number");
  const memory = parseBytes(form.memory, "M");
  take(
    "memory",
    "memory_mib",
    memory !== undefined && memory >= MIB ? Math.round(memory / MIB) : undefined,
    "a size, such as 512M or 2G",
  );
  take("disk", "disk_bytes", parseBytes(form.disk, "G"), "a size, such as 10G");
  const ports = wordsOf(form.ports).map(parsePort);
  const isRight = ports.every((port) => port !== undefined);
  take("ports", "ports", isRight ? ports : undefined, "such as 8080:80 or 53:53/udp");
  take("env", "env", pairsOf(form.env), "one NAME=value a line");
  take("labels", "labels", pairsOf(form.labels), "one name=value a line");
  take("command", "command", splitCommand(form.command), "an unfinished quotation");
  const add = (key: keyof VmCreate, values: readonly unknown[]) => {
    if (values.length > 0) request[key] = values;
  };
  add("networks", form.networks);
  const volumes = volumesOf(form.volumes, known);
  add("volumes", volumes.mounts);
  if (volumes.problem) problems.volumes = volumes.problem;
  const { secrets, problem } = secretsOf(form.secrets);
  add("secrets", secrets);
  if (problem) problems.secrets = problem;
  const { policy, problem: ruleProblem } = policyOf(form);
  if (policy) request["policy"] = policy;
  if (ruleProblem) problems[ruleProblem] = RULE_PROBLEMS[ruleProblem];
  const needs = [
    policy && "a policy",
    secrets.length > 0 && "secrets",
    form.networks.length > 0 && "named networks",
  ].filter(Boolean);
  if (needs.length > 0 && /^(user|none)$/.test(form.network)) {
    problems.network = `must be nat or host for ${needs.join(", ")}`;
  }
  const { workspace, problem: place } = workspaceOf(form.workspace, form.workspacePath);
  if (place === "source") problems.workspace = "an absolute path on the host";
  if (place === "path") problems.workspacePath = "an absolute path in the machine, below /";
  // A command would run before its files are there.
  if (workspace && form.command.trim() !== "") problems.command = "not with a workspace";
  if (workspace) request["command"] = [];
  return { volumes: volumes.created, request: request as VmCreate, workspace, problems };
}

const RULE_PROBLEMS = {
  allow: "denied destinations belong into the field Deny",
  deny: "names and addresses only",
};

/** "[ADDRESS:][HOST:]GUEST[/tcp|udp]"; undefined for what is none. */
export function parsePort(text: string): PortRequest | undefined {
  const pattern = /^(?:(?:(\[[0-9a-f:]+\]|[0-9.]+):)?(\d{1,5}):)?(\d{1,5})(?:\/(tcp|udp))?$/;
  const [match, address, host, guest, protocol] = pattern.exec(text) ?? [];
  if (match === undefined) return undefined;
  const guestPort = Number(guest);
  const hostPort = Number(host ?? 0);
  if (guestPort < 1 || guestPort > PORT_MAX || hostPort > PORT_MAX) return undefined;
  return {
    ...(address ? { hostAddress: address.replaceAll(/[[\]]/g, "") } : {}),
    hostPort,
    guestPort,
    protocol: protocol === "udp" ? "udp" : "tcp",
  };
}

function pairsOf(text: string): Record<string, string> | undefined {
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
  const pairs = lines.map((line) => /^([^=\s]+)=(.*)$/.exec(line));
  if (pairs.some((pair) => pair === null)) return undefined;
  return Object.fromEntries(pairs.map((pair) => [pair?.[1] ?? "", pair?.[2] ?? ""]));
}

/** Words as a shell splits them, without its expansions; undefined where a quotation does not end. */
export function splitCommand(text: string): string[] | undefined {
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let at = 0; at < text.length; at++) {
    const character = text[at] ?? "";
    if (quote) {
      if (character === quote) quote = "";
      else if (quote === '"' && character === "\\" && /["\\$`]/.test(text[at + 1] ?? "")) {
        word = (word ?? "") + text[++at];
      } else word = (word ?? "") + character;
    } else if (character === "'" || character === '"') {
      quote = character;
      word ??= "";
    } else if (character === "\\") word = (word ?? "") + (text[++at] ?? "");
    else if (/\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? "") + character;
  }
  if (quote) return undefined;
  if (word !== undefined) words.push(word);
  return words;
}
