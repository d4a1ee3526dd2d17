/** Finds the toolchain for a kernel build, native or cross. */
import { existsSync } from "node:fs";
import { BangerError } from "#base/error.ts";
import { runOk, which } from "#base/run.ts";
import { hostArch } from "#kernels/catalog.ts";
import type { Arch } from "#kernels/manifest.ts";

export interface Toolchain {
  arch: Arch;
  /** The kernel's name of the architecture: `ARCH=`, and the directory in arch/. */
  makeArch: string;
  srcArch: string;
  /** Prefix of compiler and binutils; empty for a native build. */
  prefix: string;
  /** The make target and its output. */
  target: string;
  image: string;
  /** Versions of compiler and linker. */
  versions: string[];
}

const targets = {
  amd64: { makeArch: "x86_64", srcArch: "x86", target: "vmlinux", image: "vmlinux" },
  arm64: { makeArch: "arm64", srcArch: "arm64", target: "Image", image: "arch/arm64/boot/Image" },
} as const satisfies Record<Arch, unknown>;

const crossPrefixes: Record<Arch, string> = {
  amd64: "x86_64-linux-gnu-",
  arm64: "aarch64-linux-gnu-",
};
const crossPackages: Record<Arch, string> = {
  amd64: "gcc-x86-64-linux-gnu",
  arm64: "gcc-aarch64-linux-gnu",
};

/** A required program or header, and its Debian package. */
const wanted = [
  { name: "make", package: "make" },
  { name: "gcc", package: "gcc" },
  { name: "flex", package: "flex" },
  { name: "bison", package: "bison" },
  { name: "bc", package: "bc" },
  { name: "perl", package: "perl" },
  { name: "tar", package: "tar" },
  { name: "xz", package: "xz-utils" },
  { name: "/usr/include/stdio.h", package: "libc6-dev" },
  { name: "/usr/include/libelf.h", package: "libelf-dev" },
];

/** `unsupported` with the packages to install if something is missing. */
export async function findToolchain(arch: Arch, signal?: AbortSignal): Promise<Toolchain> {
  const prefix = arch === hostArch() ? "" : crossPrefixes[arch];
  const missing = wanted.filter(({ name }) => !isThere(name)).map((each) => each.package);
  if (prefix !== "" && !which(`${prefix}gcc`)) missing.push(crossPackages[arch]);
  if (missing.length > 0) {
    throw new BangerError(
      "unsupported",
      `Cannot build a kernel for ${arch}: ${missing.join(", ")} ${missing.length > 1 ? "are" : "is"} not installed`,
      { hint: `sudo apt-get install --no-install-recommends ${missing.join(" ")}` },
    );
  }
  const versions = await Promise.all(
    ["gcc", "ld"].map(async (name) => {
      const text = await runOk([`${prefix}${name}`, "--version"], { signal });
      return text.split("\n")[0] ?? "";
    }),
  );
  return { arch, ...targets[arch], prefix, versions };
}

function isThere(name: string): boolean {
  return name.startsWith("/") ? existsSync(name) : which(name) !== undefined;
}
