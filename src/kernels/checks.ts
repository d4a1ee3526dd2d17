/** Doctor's checks for pulling and building kernels. */
import type { Check } from "#base/check.ts";
import { which } from "#base/run.ts";
import { hasPackageLists } from "./apt.ts";

const programs = [
  { name: "dpkg-deb", package: "dpkg", why: "unpacks Debian's kernels" },
  { name: "xz", package: "xz-utils", why: "to unpack kernel modules" },
];

export async function checks(): Promise<Check[]> {
  return [await aptCheck(), ...programs.map(programCheck)];
}

async function aptCheck(): Promise<Check> {
  const base = { id: "kernels.apt", title: "apt" };
  if (!which("apt-get")) {
    const detail = "not installed: kernels from Debian packages cannot be pulled, only imported";
    return { ...base, status: "warn", detail };
  }
  if (await hasPackageLists()) return { ...base, status: "ok", detail: "package lists available" };
  const detail = "no package lists: kernels from Debian packages cannot be pulled";
  return { ...base, status: "warn", detail, fix: "sudo apt-get update" };
}

function programCheck(wanted: (typeof programs)[number]): Check {
  const path = which(wanted.name);
  const base = { id: `kernels.${wanted.name}`, title: wanted.name };
  if (path) return { ...base, status: "ok", detail: path };
  const fix = `sudo apt-get install ${wanted.package}`;
  return { ...base, status: "warn", detail: `not installed: needed ${wanted.why}`, fix };
}
