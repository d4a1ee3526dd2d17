/**
 * The Dockerfile that installs a plan's tools on an image: banger's own builder runs it in a machine, and keeps the
 * result for each image and plan. Nothing of the project's text is in it but version numbers.
 */
import { BangerError } from "#base/error.ts";
import type { Command } from "./findings.ts";
import type { Plan, PlannedTool } from "./plan.ts";
import type { Family } from "./rules.ts";
import { describeVersion } from "./version.ts";

const INSTALL: Record<Family, [program: string, ...lines: string[]]> = {
  debian: [
    "apt-get",
    "export DEBIAN_FRONTEND=noninteractive",
    // Lists in xz and in more than one language take minutes in an emulated machine.
    'apt="apt-get -q -o Acquire::Languages=none -o Acquire::PDiffs=false -o Acquire::GzipIndexes=false',
    '-o Acquire::CompressionTypes::Order::=gz -o Dpkg::Options::=--force-unsafe-io"',
    "$apt update",
    "$apt install -y --no-install-recommends $packages",
    "rm -rf /var/lib/apt/lists/*",
  ],
  alpine: ["apk", "apk add --no-cache $packages"],
  fedora: ["dnf", "dnf -y --setopt=install_weak_deps=0 install $packages"],
  arch: ["pacman", "pacman -Syu --noconfirm --needed $packages"],
  opensuse: [
    "zypper",
    "zypper --non-interactive --gpg-auto-import-keys refresh",
    "zypper --non-interactive install --no-recommends $packages",
  ],
};

export interface BuildText {
  dockerfile: string;
  /** Names of the project's files that the build needs. */
  files: string[];
}

export interface BuildBase {
  image: string;
  /** The image's own user, which the result has too. */
  user: string | undefined;
  /** Name of a script in the build context. */
  setup?: string | undefined;
}

/** Undefined if there is nothing to install. */
export function toolingDockerfile(plan: Plan, base: BuildBase): BuildText | undefined {
  const { image, user, setup } = base;
  if (/\s/.test(image)) throw new BangerError("invalid_argument", `invalid image: "${image}"`);
  const warmed = plan.commands.filter(({ warm }) => warm !== undefined);
  const steps = [
    packagesStep(plan.tools),
    ...plan.tools.map(toolStep),
    ...plan.packages.map((name) =>
      script([`npm install --global --no-audit --no-fund ${name}`, "npm cache clean --force"]),
    ),
    ...warmed.map(warmStep),
    setup === undefined
      ? undefined
      : `COPY --chmod=755 ${setup} /tmp/setup\nRUN /tmp/setup && rm /tmp/setup`,
  ].filter((step) => step !== undefined);
  if (steps.length === 0) return undefined;
  const end = user === undefined ? "" : `USER ${user}`;
  const dockerfile = [`FROM ${image}`, "USER 0", ...steps, end, ""].join("\n");
  return { dockerfile, files: [...new Set(warmed.flatMap(({ files = [] }) => files))] };
}

/** One run of the package manager for all tools that the image lacks. */
function packagesStep(tools: PlannedTool[]): string | undefined {
  const branches = Object.entries(INSTALL).map(([family, [program, ...lines]], index) => {
    const wanted = tools.flatMap((tool) => {
      const names = packagesOf(tool, family as Family);
      return names.length === 0
        ? []
        : [
            `\tcommand -v ${tool.rule.command} >/dev/null || packages="$packages ${names.join(" ")}"`,
          ];
    });
    const install = lines.map((line) => `\t\t${line}`);
    return [
      `${index === 0 ? "if" : "elif"} command -v ${program} >/dev/null; then`,
      ...wanted,
      '\tif [ -n "$packages" ]; then',
      ...install,
      "\tfi",
    ].join("\n");
  });
  if (!tools.some(({ rule }) => rule.packages)) return undefined;
  return script([
    "packages=",
    ...branches,
    "else",
    '\techo "This image has none of apt-get, apk, dnf, pacman and zypper" >&2',
    "\texit 1",
    "fi",
  ]);
}

function packagesOf({ rule, version }: PlannedTool, family: Family): string[] {
  const pinned = version && rule.pinned?.[family];
  const major = version?.number.split(".")[0] ?? "";
  return (pinned ?? rule.packages?.[family] ?? []).map((name) => name.replace("$MAJOR", major));
}

/** Installs a tool that no package has, then checks its version, and installs that one if it is another. */
function toolStep({ rule, version }: PlannedTool): string | undefined {
  const { name, command, install, version: versions } = rule;
  const lines: string[] = [];
  if (install !== undefined) {
    lines.push(`if ! command -v ${command} >/dev/null; then`, install, "fi");
  }
  if (version && versions) {
    const { kind, number } = version;
    const test =
      kind === "exactly"
        ? 'case $(have). in "$VERSION".*) true ;; *) false ;; esac'
        : '[ "$(printf "%s\\n" "$VERSION" "$(have)" | sort -V | head -n 1)" = "$VERSION" ]';
    lines.splice(
      0,
      // With a version to install, any other need not be installed first.
      versions.install === undefined ? 0 : lines.length,
      `VERSION=${number}`,
      `have() { ${versions.show} 2>/dev/null | sed -n 's/^[^0-9]*\\([0-9][0-9.]*\\).*/\\1/p' | head -n 1; }`,
      `meets() { ${test}; }`,
      `if ! meets && command -v mise >/dev/null; then mise use --global "${name}@$VERSION"; hash -r; fi`,
    );
    if (versions.install !== undefined) {
      lines.push("if ! meets; then", versions.install, "hash -r", "fi");
    }
    lines.push(
      "if ! meets; then",
      `\techo "${name}: $(have) is installed, but the project needs ${describeVersion(version)}" >&2`,
      '\techo "Use an image that has it, or install it with --setup" >&2',
      "\texit 1",
      "fi",
    );
  }
  return lines.length === 0 ? undefined : script(lines);
}

/** In a directory of its own: the project's files are imported later. */
function warmStep({ warm = "", files = [] }: Command): string {
  return [
    `COPY ${JSON.stringify([...files, "/tmp/tooling/"])}`,
    script(["cd /tmp/tooling", warm, "cd /", "rm -rf /tmp/tooling"]),
  ].join("\n");
}

function script(lines: string[]): string {
  return ["RUN <<'TOOLING'", "set -eu", ...lines, "TOOLING"].join("\n");
}
