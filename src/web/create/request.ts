/** What the form says, as a request and as the command that asks for the same. */
import type { PortRequest } from "#api/network.ts";
import type { VmCreate } from "#api/vm.ts";
import { parseBytes, shellWord } from "#web/parts/format.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const PORT_MAX = 65_535;

/** As typed. */
export interface Form {
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
  isLimited: boolean;
  allow: string;
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
  isLimited: false,
  allow: "",
};

export type Problems = Partial<Record<keyof Form, string>>;

export function requestOf(form: Form): { request: VmCreate; problems: Problems } {
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
  take("memory", "memory_mib", memory && Math.round(memory / MIB), "a size, such as 512M or 2G");
  take("disk", "disk_bytes", parseBytes(form.disk, "G"), "a size, such as 10G");
  const ports = wordsOf(form.ports).map(parsePort);
  const isRight = ports.every((port) => port !== undefined);
  take("ports", "ports", isRight ? ports : undefined, "such as 8080:80 or 53:53/udp");
  take("env", "env", pairsOf(form.env), "one NAME=value a line");
  take("labels", "labels", pairsOf(form.labels), "one name=value a line");
  take("command", "command", splitCommand(form.command), "an unfinished quotation");
  if (form.isLimited) request["policy"] = { allow: wordsOf(form.allow) };
  return { request: request as VmCreate, problems };
}

/** The command line that does the same. */
export function commandOf(request: VmCreate): string {
  const { image, name, kernel, mode, cpus, memory_mib, disk_bytes, network, ports } = request;
  const { env, labels, command, restart, policy } = request;
  const words = ["banger", "vm", "create"];
  const flag = (key: string, value: string | number | undefined) => {
    if (value !== undefined) words.push(key, String(value));
  };
  flag("--image", image);
  flag("--name", name);
  flag("--kernel-ref", kernel);
  flag("--mode", mode);
  flag("--cpus", cpus);
  flag("--memory", memory_mib === undefined ? undefined : unit(memory_mib * MIB));
  flag("--disk", disk_bytes === undefined ? undefined : unit(disk_bytes));
  flag("--net", network);
  for (const port of ports ?? []) flag("-p", portText(port));
  for (const [key, value] of Object.entries(env ?? {})) flag("-e", `${key}=${value}`);
  for (const [key, value] of Object.entries(labels ?? {})) flag("--label", `${key}=${value}`);
  flag("--restart", restart);
  if (policy?.allow.length === 0) words.push("--deny-all");
  for (const rule of policy?.allow ?? []) flag("--allow", rule);
  if (command) words.push("--", ...command);
  return words.map(shellWord).join(" ");
}

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

function portText({ hostAddress, hostPort, guestPort, protocol }: PortRequest): string {
  const address = hostAddress?.includes(":") ? `[${hostAddress}]` : hostAddress;
  const host = hostPort === 0 && !address ? "" : `${hostPort}:`;
  return `${address ? `${address}:` : ""}${host}${guestPort}${protocol === "udp" ? "/udp" : ""}`;
}

function unit(bytes: number): string {
  return bytes % GIB === 0 ? `${bytes / GIB}G` : `${Math.round(bytes / MIB)}M`;
}

function wordsOf(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
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
