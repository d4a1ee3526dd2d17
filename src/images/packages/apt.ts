/**
 * The host's apt, with nothing of the host's or the image's configuration: it checks the signatures of a mirror and
 * resolves what an image lacks. It reads files only, runs nothing of the image, and as root runs as apt's own user.
 */
import { chownSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Digest, isDigest } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { walk } from "#base/files/walk.ts";
import { run, which } from "#base/run.ts";
import { GiB, MiB } from "#base/size.ts";
import type { AptImage, NamedFile } from "./image-files.ts";
import type { AptSource } from "./sources.ts";

const UPDATE_TIMEOUT_MS = 120_000;
const OUTPUT_MAX_BYTES = 16 * MiB;
/** What its lists have when they are decompressed, and what it builds from them. */
const LISTS_MAX_BYTES = GiB;
const LISTS_CHECK_MS = 500;
const MEMORY_MAX_BYTES = 2 * GiB;
const PACKAGES_MAX = 500;
const PACKAGE_MAX_BYTES = 256 * 1024 * 1024;
const APT_USER = "_apt";
/** As guest/boot/first-boot.sh installs them. */
const WANTED = ["systemd", "systemd-sysv", "udev", "dbus", "openssh-server", "iproute2"];
const NOTHING = "/dev/null";
const KEY_START = "-----BEGIN";

export interface WantedPackage {
  /** File name in the archive. */
  file: string;
  url: URL;
  digest: Digest;
  size: number;
}

/** How apt would install the packages, by name. */
export interface InstallOrder {
  /** Those that were asked for; the others are installed automatically. */
  wanted: readonly string[];
  unpack: string[];
  /** Configured before the last one is unpacked. */
  configureFirst: string[];
  /** Whether it only adds packages. */
  isPlain: boolean;
}

export function hasHostApt(): boolean {
  return which("apt-get") !== undefined && which("gpgv") !== undefined;
}

/** Where the mirror of the `index`-th source is. */
export function mirrorFolder(folder: string, index: number): string {
  return join(folder, "mirror", String(index));
}

export interface ResolveOptions {
  signal: AbortSignal;
  /** What the lists may have when they are decompressed; for tests. */
  listsMax_bytes?: number | undefined;
}

/** What the image lacks, from the mirrors in `folder`. `integrity` if a signature is missing or wrong. */
export async function resolvePackages(
  image: AptImage,
  folder: string,
  { signal, listsMax_bytes = LISTS_MAX_BYTES }: ResolveOptions,
): Promise<{ packages: WantedPackage[]; order: InstallOrder }> {
  writeConfiguration(image, folder);
  const confined = [...limited(), ...unprivileged(folder)];
  using lists = watchLists(folder, listsMax_bytes);
  const apt = async (...args: string[]): Promise<string> => {
    const running = run([...confined, "apt-get", "-q", ...args], {
      isApart: true,
      cwd: folder,
      env: { APT_CONFIG: join(folder, "apt.conf"), TMPDIR: join(folder, "tmp"), HOME: folder },
      timeout_ms: UPDATE_TIMEOUT_MS,
      outputMax_bytes: OUTPUT_MAX_BYTES,
      signal: AbortSignal.any([signal, lists.signal]),
    });
    const result = await running.finally(lists.check);
    // It also ends with 0 if it has ignored an index.
    const complaints = result.stderr.split("\n").filter((line) => /^[EW]: /.test(line));
    if (result.exitCode === 0 && !complaints.some((line) => isFatal(line))) return result.stdout;
    const why = complaints.map((line) => line.slice(3)).join("; ") || result.stderr.trim();
    throw new BangerError("integrity", `apt: ${why.replaceAll(folder, "").slice(-600)}`);
  };
  await apt("update");
  const install = ["install", ...WANTED];
  const packages = parseUris(await apt("-y", "--print-uris", ...install), { image, folder });
  return { packages, order: parseOrder(await apt("-y", "--simulate", ...install)) };
}

/** A list that is small to download may have no end when it is decompressed. */
function watchLists(
  folder: string,
  max_bytes: number,
): Disposable & { signal: AbortSignal; check: () => void } {
  const stop = new AbortController();
  const isTooLarge = (): boolean => {
    const paths = ["lists", "lists/partial", "cache"].flatMap((name) =>
      readdirSync(join(folder, name)).map((file) => join(folder, name, file)),
    );
    const sizes = paths.map((path) => lstatSync(path, { throwIfNoEntry: false })?.size ?? 0);
    return sizes.reduce((sum, size) => sum + size, 0) > max_bytes;
  };
  const timer = setInterval(() => isTooLarge() && stop.abort(), LISTS_CHECK_MS);
  return {
    signal: stop.signal,
    check() {
      if (stop.signal.aborted || isTooLarge()) {
        throw new BangerError("limit_exceeded", "package lists too large");
      }
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

function limited(): string[] {
  return which("prlimit") ? ["prlimit", `--as=${MEMORY_MAX_BYTES}`] : [];
}

/** Lines of `--simulate`: "Inst NAME [OLD VERSION] (…)", "Conf NAME (…)", "Remv NAME …". */
export function parseOrder(output: string): InstallOrder {
  const steps = output.split("\n").flatMap((line) => {
    const match = /^(Inst|Conf|Remv) (\S+) (\S)/.exec(line);
    return match ? [{ kind: match[1], name: match[2] ?? "", next: match[3] }] : [];
  });
  const last = steps.findLastIndex(({ kind }) => kind === "Inst");
  const named = (wanted: string, end: number): string[] =>
    steps.slice(0, end).flatMap(({ kind, name }) => (kind === wanted ? [name] : []));
  return {
    wanted: WANTED,
    unpack: named("Inst", steps.length),
    configureFirst: named("Conf", last),
    isPlain: steps.every(({ kind, next }) => kind === "Conf" || (kind === "Inst" && next === "(")),
  };
}

/** Whether the line reports a failed download or signature; a warning about a key's algorithm does not. */
function isFatal(line: string): boolean {
  return line.startsWith("E: ") || /failed to (fetch|download)|signature|not signed/i.test(line);
}

/** Lines of `--print-uris`: 'URI' FILE SIZE HASH. Each URI leads into one of the mirrors. */
function parseUris(
  output: string,
  { image, folder }: { image: AptImage; folder: string },
): WantedPackage[] {
  const lines = output.split("\n").filter((line) => line.startsWith("'"));
  if (lines.length > PACKAGES_MAX) {
    throw new BangerError("limit_exceeded", `more than ${PACKAGES_MAX} packages`);
  }
  return lines.map((line) => {
    const match = /^'file:(\/\S*)' (\S+) (\d{1,12}) SHA256:([0-9a-f]{64})$/.exec(line);
    const [, path = "", file = "", size = "", hex = ""] = match ?? [];
    const place = decodeURIComponent(path).split(`${folder}/mirror/`)[1] ?? "";
    const [, index = "", rest = ""] = /^(\d+)\/(.+)$/.exec(place) ?? [];
    const digest = `sha256:${hex}`;
    const source = image.sources[Number(index)];
    const isFine = /^[a-z0-9][\w.+~%-]*\.deb$/.test(file) && !rest.split("/").includes("..");
    if (!source || !isFine || !isDigest(digest) || Number(size) > PACKAGE_MAX_BYTES) {
      throw new BangerError("unsupported", `unexpected output from apt: ${line.slice(0, 200)}`);
    }
    const escaped = rest.split("/").map(encodeURIComponent).join("/");
    return { file, url: new URL(escaped, source.base), digest, size: Number(size) };
  });
}

function writeConfiguration(image: AptImage, folder: string): void {
  const path = (name: string): string => join(folder, name);
  for (const name of [
    "tmp",
    "pins",
    "trusted",
    "keys",
    "lists/partial",
    "cache/archives/partial",
  ]) {
    mkdirSync(path(name), { recursive: true });
  }
  writeFiles(path("trusted"), image.keyrings, keyringKind);
  writeFiles(path("pins"), image.pins, () => ".pref");
  writeFileSync(path("status"), image.status);
  const lines = image.sources.map((source, index) => sourceLine(source, { image, folder, index }));
  writeFileSync(path("sources.list"), `${lines.join("\n")}\n`);
  const settings: [name: string, value: string][] = [
    ["Dir::Etc::parts", NOTHING],
    ["Dir::Etc::main", NOTHING],
    ["Dir::Etc::sourcelist", path("sources.list")],
    ["Dir::Etc::sourceparts", NOTHING],
    ["Dir::Etc::trusted", NOTHING],
    ["Dir::Etc::trustedparts", path("trusted")],
    ["Dir::Etc::preferences", NOTHING],
    ["Dir::Etc::preferencesparts", path("pins")],
    ["Dir::Etc::netrc", NOTHING],
    ["Dir::Etc::netrcparts", NOTHING],
    ["Dir::State", path("")],
    ["Dir::State::lists", path("lists")],
    ["Dir::State::status", path("status")],
    ["Dir::State::extended_states", path("extended_states")],
    ["Dir::Cache", path("cache")],
    ["Dir::Log", path("tmp")],
    ["APT::Architecture", image.architectures[0] ?? ""],
    ...image.architectures.map((name): [string, string] => ["APT::Architectures::", name]),
    ["APT::Sandbox::User", "root"],
    ["APT::Install-Recommends", "false"],
    ["APT::Get::AllowUnauthenticated", "false"],
    ["Acquire::AllowInsecureRepositories", "false"],
    ["Acquire::ForceHash", "SHA256"],
    ["Acquire::Languages", "none"],
    ["Acquire::PDiffs", "false"],
    ["Debug::NoLocking", "true"],
  ];
  const text = settings.map(([name, value]) => `${name} "${value}";\n`).join("");
  writeFileSync(path("apt.conf"), text);
}

/** The mirror in place of the server. */
function sourceLine(
  { suite, components, architectures, signedBy, isValidForever }: AptSource,
  { image, folder, index }: { image: AptImage; folder: string; index: number },
): string {
  const options: string[] = [];
  if (architectures) options.push(`arch=${architectures.join(",")}`);
  if (isValidForever) options.push("check-valid-until=no");
  if (signedBy) {
    const keyrings =
      "key" in signedBy
        ? [{ name: "key.asc", bytes: Buffer.from(signedBy.key) }]
        : signedBy.paths.flatMap((path) => image.ownKeyrings.get(path) ?? []);
    const place = join(folder, "keys", String(index));
    options.push(`signed-by=${writeFiles(place, keyrings, keyringKind).join(",")}`);
  }
  const shown = options.length > 0 ? `[${options.join(" ")}] ` : "";
  const words = [`file:${mirrorFolder(folder, index)}/`, suite, ...components];
  return `deb ${shown}${words.join(" ")}`;
}

/** apt chooses the keyring format by file extension. The image's own names are not used. */
function writeFiles(
  folder: string,
  files: readonly NamedFile[],
  kindOf: (file: NamedFile) => string,
): string[] {
  mkdirSync(folder, { recursive: true });
  return files.map((file, index) => {
    const path = join(folder, `${String(index).padStart(3, "0")}${kindOf(file)}`);
    writeFileSync(path, file.bytes);
    return path;
  });
}

function keyringKind({ bytes }: NamedFile): string {
  return Buffer.from(bytes.subarray(0, KEY_START.length)).toString() === KEY_START
    ? ".asc"
    : ".gpg";
}

/** As root, the command that gives up all rights, to which the files in `folder` belong then. */
function unprivileged(folder: string): string[] {
  const id = aptUser();
  if (!id) return [];
  chownSync(folder, id.uid, id.gid);
  for (const { path } of walk(folder)) chownSync(join(folder, path), id.uid, id.gid);
  return [
    ...["setpriv", `--reuid=${id.uid}`, `--regid=${id.gid}`, "--clear-groups"],
    ...["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"],
  ];
}

/** Whom apt runs as; undefined if it runs as we do. */
export function aptUser(): { uid: number; gid: number } | undefined {
  return process.getuid?.() === 0 && which("setpriv") ? idsOf(APT_USER) : undefined;
}

function idsOf(name: string): { uid: number; gid: number } | undefined {
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((each) => each.startsWith(`${name}:`));
  const [, , uid, gid] = line?.split(":") ?? [];
  return uid && gid ? { uid: Number(uid), gid: Number(gid) } : undefined;
}
