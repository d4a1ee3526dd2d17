/** OCI platforms ("linux/arm64/v8"), and the selection of one from an index. */
import { BangerError } from "#base/error.ts";

export interface Platform {
  os: string;
  architecture: string;
  variant?: string;
}

const architectures: Record<string, string> = {
  x86_64: "amd64",
  "x86-64": "amd64",
  x64: "amd64",
  aarch64: "arm64",
  armhf: "arm",
  i386: "386",
  i686: "386",
};

/** Linux on the architecture of this host. */
export function hostPlatform(): Platform {
  return normalize({ os: "linux", architecture: process.arch });
}

/** "linux/amd64", "linux/arm/v7", or only an architecture: "arm64". */
export function parsePlatform(text: string): Platform {
  const parts = text.trim().toLowerCase().split("/");
  const valid =
    parts.length <= 3 && parts.every((part) => /^[a-z0-9][a-z0-9_.-]{0,31}$/.test(part));
  const [first, second, third] = parts;
  if (!valid || first === undefined) {
    throw new BangerError("invalid_argument", `invalid platform "${text.slice(0, 100)}"`, {
      hint: 'Use "linux/amd64" or "linux/arm64"',
    });
  }
  if (second === undefined) return normalize({ os: "linux", architecture: first });
  return normalize({ os: first, architecture: second, variant: third });
}

export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant } = platform;
  return `${os}/${architecture}${variant ? `/${variant}` : ""}`;
}

/** The common name of each architecture, without a default variant ("arm64/v8", "amd64/v1"). */
export function normalize(platform: Platform): Platform {
  const os = platform.os.toLowerCase();
  const named = platform.architecture.toLowerCase();
  const architecture = architectures[named] ?? named;
  const variant = platform.variant?.toLowerCase();
  const isBasic =
    !variant ||
    (architecture === "amd64" && variant === "v1") ||
    (architecture === "arm64" && (variant === "v8" || variant === "8"));
  return isBasic ? { os, architecture } : { os, architecture, variant };
}

/** Same OS and architecture, whatever the variant. */
export function isSameArchitecture(a: Platform, b: Platform): boolean {
  return a.os === b.os && a.architecture === b.architecture;
}

/** The best candidate for `wanted`; undefined if none can run on it. */
export function choosePlatform<T extends { platform?: Platform | undefined }>(
  wanted: Platform,
  candidates: readonly T[],
): T | undefined {
  let best: { candidate: T; rank: number } | undefined;
  for (const candidate of candidates) {
    if (!candidate.platform) continue;
    const rank = rankOf(wanted, normalize(candidate.platform));
    if (rank !== undefined && (!best || rank > best.rank)) best = { candidate, rank };
  }
  return best?.candidate;
}

/** Higher is better. A newer variant than the wanted one may use instructions that are missing. */
function rankOf(wanted: Platform, offered: Platform): number | undefined {
  if (!isSameArchitecture(wanted, offered)) return undefined;
  const most = levelOf(wanted);
  const level = levelOf(offered);
  return level <= most ? level : undefined;
}

/** "v7" → 7. 32-bit ARM without a variant means v7, everything else without one its oldest. */
function levelOf(platform: Platform): number {
  const level = /^v(\d{1,2})/.exec(platform.variant ?? "")?.[1];
  if (level !== undefined) return Number(level);
  if (platform.architecture === "arm") return 7;
  return platform.architecture === "arm64" ? 8 : 1;
}
