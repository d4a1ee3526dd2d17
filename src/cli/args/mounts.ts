/** Parses mounts and limits of a machine, which are written as docker has them. */
import { resolve } from "node:path";
import type { GuestOptions, Share, VolumeMount } from "#api/mount/mount.ts";
import { rlimitName, volumeName } from "#api/mount/mount.ts";
import { BangerError } from "#base/error.ts";
import { similarNames } from "#base/similar.ts";
import { parseSize } from "#base/size.ts";

const VOLUME_HINT = "Use NAME:/path, DIR:/path, or either with :ro";
/** Units of these limits are not bytes: docker takes plain numbers for all. */
const LIMIT_HINT = "Use NAME=SOFT[:HARD], such as nofile=1024:4096 or core=unlimited";

interface MountFlags {
  volume: readonly string[];
  tmpfs: readonly string[];
  shmSize: number | undefined;
  ulimit: readonly string[];
  sysctl: readonly string[];
  readOnly: boolean;
  swap: number | undefined;
}

interface Mounts {
  volumes: VolumeMount[] | undefined;
  shares: Share[] | undefined;
  guest: GuestOptions | undefined;
}

export function mountsOf(flags: MountFlags): Mounts {
  const volumes: VolumeMount[] = [];
  const shares: Share[] = [];
  for (const text of flags.volume) {
    const mount = parseVolume(text);
    if ("volume" in mount) volumes.push(mount);
    else shares.push(mount);
  }
  const guest: GuestOptions = {
    tmpfs: flags.tmpfs.length > 0 ? flags.tmpfs.map(parseTmpfs) : undefined,
    shm_bytes: flags.shmSize,
    swap_bytes: flags.swap,
    readOnly: flags.readOnly || undefined,
    sysctls:
      flags.sysctl.length > 0 ? Object.fromEntries(flags.sysctl.map(parseSysctl)) : undefined,
    ulimits: flags.ulimit.length > 0 ? flags.ulimit.map(parseUlimit) : undefined,
  };
  return {
    volumes: volumes.length > 0 ? volumes : undefined,
    shares: shares.length > 0 ? shares : undefined,
    guest: Object.values(guest).some((value) => value !== undefined) ? guest : undefined,
  };
}

/** "NAME:/path[:ro]"; with "/" or "." at its start a directory of the host, as with docker. */
export function parseVolume(text: string): VolumeMount | Share {
  const [source = "", path = "", options, ...rest] = text.split(":");
  const words = options?.split(",") ?? [];
  const unknown = words.find((word) => word !== "ro" && word !== "rw");
  if (unknown !== undefined) {
    throw new BangerError("invalid_argument", `unknown option "${unknown}" of volume "${text}"`, {
      hint: /^[zZ]$/.test(unknown) ? "Not needed: leave it out" : VOLUME_HINT,
    });
  }
  if (source === "" || !path.startsWith("/") || rest.length > 0) {
    const isBare = source.startsWith("/") && path === "";
    throw new BangerError("invalid_argument", `invalid volume "${text}"`, {
      hint: isBare ? `Give the volume a name: -v NAME:${source}` : VOLUME_HINT,
    });
  }
  const end = { path, ...(words.includes("ro") ? { readOnly: true } : {}) };
  if (/^[/.]/.test(source)) return { source: resolve(source), ...end };
  if (volumeName.safeParse(source).success) return { volume: source, ...end };
  throw new BangerError("invalid_argument", `invalid volume name "${source}"`, {
    hint: `For a directory of the host use: -v ./${source}:${path}`,
  });
}

/** "/path[:size=64M,mode=1777]"; other options of docker's hold anyway, or are refused. */
export function parseTmpfs(text: string): NonNullable<GuestOptions["tmpfs"]>[number] {
  const at = text.indexOf(":");
  const path = at < 0 ? text : text.slice(0, at);
  const options =
    at < 0
      ? []
      : text
          .slice(at + 1)
          .split(",")
          .filter(Boolean);
  const found: { size_bytes?: number; mode?: number } = {};
  for (const option of options) {
    const [name = "", value = ""] = option.split("=");
    if (name === "size") found.size_bytes = parseSize(value);
    else if (name === "mode" && /^[0-7]{1,4}$/.test(value)) found.mode = Number.parseInt(value, 8);
    else if (!/^(rw|nosuid|nodev|exec)$/.test(name)) {
      throw new BangerError("invalid_argument", `unknown option "${option}" of --tmpfs ${path}`, {
        hint: "Use --tmpfs /path:size=64M,mode=1777",
      });
    }
  }
  return { path, ...found };
}

function parseSysctl(text: string): [string, string] {
  const at = text.indexOf("=");
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw new BangerError("invalid_argument", `invalid sysctl "${text}"`, {
    hint: "Use NAME=VALUE, such as net.core.somaxconn=1024",
  });
}

/** "nofile=1024[:2048]"; "unlimited" and -1 are no limit. */
export function parseUlimit(text: string): NonNullable<GuestOptions["ulimits"]>[number] {
  const match = /^(\w+)=(-1|unlimited|\d+)(?::(-1|unlimited|\d+))?$/.exec(text);
  const name = rlimitName.safeParse(match?.[1]);
  if (!match || !name.success) {
    const [like] = similarNames(text.split("=")[0] ?? "", rlimitName.options);
    throw new BangerError("invalid_argument", `invalid ulimit "${text}"`, {
      hint: match && like ? `Did you mean ${like}?` : LIMIT_HINT,
    });
  }
  const soft = limitOf(match[2] ?? "");
  const hard = match[3] === undefined ? soft : limitOf(match[3]);
  if (hard !== -1 && (soft === -1 || soft > hard)) {
    throw new BangerError(
      "invalid_argument",
      `invalid ulimit "${text}": soft limit over hard limit`,
    );
  }
  return { name: name.data, soft, hard };
}

function limitOf(text: string): number {
  return text === "unlimited" ? -1 : Number(text);
}
