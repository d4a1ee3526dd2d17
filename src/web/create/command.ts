/** The command lines that do what a plan does. */
import type { PortRequest } from "#api/network.ts";
import { bytesWord, shellWord } from "#web/parts/format.ts";
import { newVolumeWords, volumeWords, workspaceWords } from "./mounts.ts";
import type { Plan } from "./request.ts";
import { policyWords } from "./rules.ts";
import { secretWords } from "./secrets.ts";

const MIB = 1024 * 1024;

/** For a shell. */
export function commandOf({ volumes, request, workspace }: Plan): string {
  const { image, name, kernel, mode, cpus, memory_mib, disk_bytes, network, restart } = request;
  const { command, policy } = request;
  const words = ["vm", "create"];
  const flag = (key: string, value: string | number | undefined) => {
    if (value !== undefined) words.push(key, String(value));
  };
  flag("--image", image);
  flag("--name", name);
  flag("--kernel-ref", kernel);
  flag("--mode", mode);
  flag("--cpus", cpus);
  flag("--memory", memory_mib === undefined ? undefined : bytesWord(memory_mib * MIB));
  flag("--disk", disk_bytes === undefined ? undefined : bytesWord(disk_bytes));
  flag("--net", network);
  for (const port of request.ports ?? []) flag("-p", portText(port));
  for (const each of request.networks ?? []) flag("--network", each);
  for (const mount of request.volumes ?? []) words.push(...volumeWords(mount));
  for (const [key, value] of Object.entries(request.env ?? {})) flag("-e", `${key}=${value}`);
  for (const [key, value] of Object.entries(request.labels ?? {})) {
    flag("--label", `${key}=${value}`);
  }
  flag("--restart", restart);
  for (const secret of request.secrets ?? []) words.push(...secretWords(secret));
  if (policy) words.push(...policyWords(policy));
  if (workspace) words.push(...workspaceWords(workspace));
  else if (command) words.push("--", ...command);
  return [...volumes.map(newVolumeWords), words]
    .map((each) => ["banger", ...each].map(shellWord).join(" "))
    .join(" && ");
}

function portText({ hostAddress, hostPort, guestPort, protocol }: PortRequest): string {
  const address = hostAddress?.includes(":") ? `[${hostAddress}]` : hostAddress;
  const host = hostPort === 0 && !address ? "" : `${hostPort}:`;
  return `${address ? `${address}:` : ""}${host}${guestPort}${protocol === "udp" ? "/udp" : ""}`;
}
