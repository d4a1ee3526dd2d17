/**
 * Finds a kernel and its files in a user's directory: by its `metadata.json`, if any, else by common file names.
 *
 *     {"kernel": "vmlinux-6.12.1", "initrd": "initrd.img", "modules": "lib/modules",
 *      "config": ".config", "name": "mine-6.12", "distro": "mine"}
 *
 * Only `kernel` is required. Paths are relative to the directory and must not leave it.
 */
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { BangerError, messageOf } from "#base/error.ts";
import { statGiven } from "#base/files/given-path.ts";
import { nameSchema } from "./manifest.ts";

const MAX_METADATA_BYTES = 64 * 1024;
const MAX_FOLDER_ENTRIES = 10_000;

const pathSchema = z
  .string()
  .min(1)
  .max(1000)
  .refine((path) => !path.startsWith("/") && !path.split("/").includes(".."), {
    error: "must be a path inside the directory",
  });

const metadataSchema = z.object({
  kernel: pathSchema,
  initrd: pathSchema.optional(),
  modules: pathSchema.optional(),
  config: pathSchema.optional(),
  name: nameSchema.optional(),
  distro: z.string().min(1).max(63).optional(),
});

export interface ImportLayout {
  kernel: string;
  initrd: string | undefined;
  /** Directories that may have the modules: a lib/modules, or that of one release. */
  modules: string[];
  /** Files that may have the configuration, best first. */
  configs: string[];
  name: string | undefined;
  distro: string | undefined;
}

/** `from`: a directory, or a kernel file. `conflict` if several files match. */
export function findLayout(from: string): ImportLayout {
  const isFolder = statGiven(from, "a kernel").isDirectory();
  const metadata = join(from, "metadata.json");
  if (isFolder && existsSync(metadata)) return byMetadata(from, metadata);
  const kernel = isFolder ? findKernel(from) : from;
  const folder = dirname(kernel);
  const release = /^(?:vmlinu[xz]|bzImage|Image)-(.+)$/.exec(basename(kernel))?.[1];
  return {
    kernel,
    initrd: findInitrd(folder, release),
    modules: ["modules", "lib/modules", "../lib/modules"].map((place) => join(folder, place)),
    configs: [...(release ? [`config-${release}`] : []), "config", ".config"].map((name) =>
      join(folder, name),
    ),
    name: undefined,
    distro: undefined,
  };
}

function byMetadata(folder: string, path: string): ImportLayout {
  const metadata = readMetadata(path);
  const inside = (name: string | undefined): string | undefined => {
    if (name === undefined) return undefined;
    const full = join(folder, name);
    const top = `${realpathSync(folder)}/`;
    if (existsSync(full) && `${realpathSync(full)}/`.startsWith(top)) return full;
    throw new BangerError(
      "not_found",
      `Cannot import from "${folder}": metadata.json refers to a missing file "${name}"`,
    );
  };
  const [initrd, modules, config] = [metadata.initrd, metadata.modules, metadata.config].map(
    inside,
  );
  return {
    kernel: inside(metadata.kernel) ?? folder,
    initrd,
    modules: modules === undefined ? [] : [modules],
    configs: config === undefined ? [] : [config],
    name: metadata.name,
    distro: metadata.distro,
  };
}

function readMetadata(path: string): z.infer<typeof metadataSchema> {
  const refuse = (why: string): BangerError =>
    new BangerError("invalid_argument", `Cannot read "${path}": ${why}`, {
      hint: 'The format is {"kernel": FILE} with optional initrd, modules, config, name and distro',
    });
  if (statSync(path).size > MAX_METADATA_BYTES) throw refuse("it is too large");
  let document: unknown;
  try {
    document = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw refuse(messageOf(error));
  }
  const result = metadataSchema.safeParse(document);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw refuse(`${issue?.path.join(".") || "it"}: ${issue?.message}`);
}

/** The kernel in a directory or in its boot/; prefers an ELF file over a compressed one. */
function findKernel(from: string): string {
  for (const folder of [from, join(from, "boot")]) {
    for (const pattern of [/^vmlinux(-.*)?$/, /^(vmlinuz|bzImage)(-.*)?$/, /^Image(-.*)?$/]) {
      const found = filesIn(folder, pattern);
      if (found.length > 1) throw several(from, found);
      if (found[0]) return found[0];
    }
  }
  throw new BangerError("not_found", `Cannot import from "${from}": no kernel found`, {
    hint: "The directory must contain a vmlinux, vmlinuz, bzImage or Image, or a metadata.json",
  });
}

/** Of several, the one with the kernel release in its name. */
function findInitrd(folder: string, release: string | undefined): string | undefined {
  const found = filesIn(folder, /^(initrd|initramfs)(\.img)?(-.*)?$/);
  const own = release ? found.filter((path) => basename(path).includes(`-${release}`)) : [];
  if (own.length === 1) return own[0];
  if (found.length > 1) throw several(folder, found);
  return found[0];
}

function filesIn(folder: string, pattern: RegExp): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .slice(0, MAX_FOLDER_ENTRIES)
    .filter((name) => pattern.test(name) && isFile(join(folder, name)))
    .sort()
    .map((name) => join(folder, name));
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

function several(from: string, found: readonly string[]): BangerError {
  const names = found.map((path) => basename(path)).join(", ");
  return new BangerError(
    "conflict",
    `Cannot import from "${from}": more than one candidate: ${names}`,
    {
      hint: "Pass the file itself with --from FILE, or add a metadata.json",
    },
  );
}
