/**
 * What a command changed, read off an overlay's upper directory, laid over the image again: the result
 * is compared with what the kernel showed while the overlay was mounted.
 */
import { afterAll, beforeAll, expect } from "bun:test";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { sha256 } from "#base/digest.ts";
import { run, runOk } from "#base/run.ts";
import { MiB } from "#base/size.ts";
import { asLayer, type BuiltLayer, LayerFile } from "#builds/layer-file.ts";
import { changesTar, indexUpper, type UpperIndex } from "#builds/run/upper.ts";
import { formatEmpty } from "#ext4/empty/empty.ts";
import { openExt4 } from "#ext4/read/reader.ts";
import { buildRootfs } from "#images/rootfs/write.ts";
import { differences, setXattr, truthOf } from "#test/file-truth.ts";
import { testNeeding } from "#test/needs.ts";
import { dir, file, hardLink, makeLayer, makeTar, symlink, type TarSpec } from "#test/tar-build.ts";

const here = testNeeding("root", "mount", "fsfreeze", "e2fsck");
const SEED = sha256("changes");

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-changes-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const image: TarSpec[] = [
  dir("", { name: "./", mode: 0o755 }),
  dir("etc"),
  file("etc/hostname", "old"),
  file("etc/config", "c", { mode: 0o640, uid: 3, gid: 4, mtime: 77 }),
  dir("deep"),
  dir("deep/er"),
  file("deep/er/x"),
  file("deep/y"),
  file("linked", "one"),
  hardLink("linked-2", "linked"),
  symlink("soft", "etc/config"),
  dir("replaced"),
  file("replaced/old"),
  file("to-folder"),
  dir("to-file"),
  file("to-file/in"),
];

/** Each change is made while the overlay is mounted; a layer is taken after each. */
async function layersOf(changes: ((root: string) => void)[]) {
  const at = mkdtempSync(join(folder, "case-"));
  const lower = join(at, "lower.ext4");
  const disk = join(at, "disk.ext4");
  const base = makeLayer(makeTar(image));
  await buildRootfs([base], { path: lower, seed: SEED });
  await formatEmpty(disk, { size_bytes: 64 * MiB, seed: SEED });
  const places = ["lower", "disk", "root", "result"].map((name) => join(at, name));
  for (const path of places) mkdirSync(path);
  const [lowerAt = "", diskAt = "", root = "", resultAt = ""] = places;
  const layers: BuiltLayer[] = [];
  const mounted: string[] = [];
  const mountAll = async (): Promise<void> => {
    await runOk(["mount", "-o", "loop,ro", lower, lowerAt]);
    mounted.push(lowerAt);
    await runOk(["mount", "-o", "loop", disk, diskAt]);
    mounted.push(diskAt);
    mkdirSync(join(diskAt, "upper"), { recursive: true });
    mkdirSync(join(diskAt, "work"), { recursive: true });
    const options = `lowerdir=${lowerAt},upperdir=${diskAt}/upper,workdir=${diskAt}/work`;
    await runOk(["mount", "-t", "overlay", "-o", options, "overlay", root]);
    mounted.push(root);
  };
  const unmountAll = async (): Promise<void> => {
    for (let path = mounted.pop(); path; path = mounted.pop()) await runOk(["umount", path]);
  };
  let truth = new Map<string, never>() as unknown as ReturnType<typeof truthOf>;
  let before: UpperIndex = new Map();
  try {
    await mountAll();
    // The machine's own writing, which is in no layer.
    writeFileSync(join(root, "etc/hostname"), "machine");
    before = await whileFrozen(diskAt, async () => {
      using reader = openExt4(disk);
      return await indexUpper(reader);
    });
    for (const change of changes) {
      change(root);
      truth = truthOf(root);
      layers.push(
        await whileFrozen(diskAt, async () => {
          using reader = openExt4(disk);
          expect(reader.info.needsRecovery).toBe(false);
          using layer = new LayerFile(join(at, `${layers.length}.tar`));
          const after: UpperIndex = new Map();
          const made = await layer.writeTar(changesTar(reader, { before, after }));
          before = after;
          return made;
        }),
      );
    }
    await unmountAll();
    const path = join(at, "result.ext4");
    await buildRootfs([base, ...layers.map(asLayer)], { path, seed: SEED });
    const { exitCode, stdout } = await run(["e2fsck", "-fn", path]);
    if (exitCode !== 0) throw new Error(stdout);
    await runOk(["mount", "-o", "loop,ro", path, resultAt]);
    mounted.push(resultAt);
    const actual = truthOf(resultAt);
    return { lines: differences(truth, actual, isOfMachine), actual };
  } finally {
    await unmountAll();
    rmSync(at, { recursive: true, force: true });
  }
}

/** As the guest's agent does it; nobody writes meanwhile. */
async function whileFrozen<T>(mount: string, use: () => Promise<T>): Promise<T> {
  await runOk(["fsfreeze", "-f", mount]);
  try {
    return await use();
  } finally {
    await runOk(["fsfreeze", "-u", mount]);
  }
}

/**
 * The root's own time and what the machine wrote for itself are not the image's. An overlay counts no
 * links of folders, and its inode numbers are those of several file systems.
 */
function isOfMachine(path: string, field: string): boolean {
  const isTime = field === "mtime" && (path === "." || path === "etc");
  return isTime || path === "etc/hostname" || field === "links" || field === "sameAs";
}

here("every kind of change comes out as the kernel showed it", async () => {
  const { lines, actual } = await layersOf([
    (root) => {
      const at = (name: string) => join(root, name);
      writeFileSync(at("etc/new"), "n", { mode: 0o4755 });
      chownSync(at("etc/new"), 12, 34);
      utimesSync(at("etc/new"), 5, 1_000_000.123);
      chmodSync(at("etc/config"), 0o600);
      rmSync(at("deep/y"));
      writeFileSync(at("linked"), "changed");
      linkSync(at("etc/new"), at("etc/new-2"));
      rmSync(at("replaced"), { recursive: true });
      mkdirSync(at("replaced"), { mode: 0o711 });
      writeFileSync(at("replaced/new"), "r");
      rmSync(at("to-folder"));
      mkdirSync(at("to-folder"));
      writeFileSync(at("to-folder/in"), "t");
      rmSync(at("to-file"), { recursive: true });
      writeFileSync(at("to-file"), "now a file");
      symlinkSync("x".repeat(200), at("long"));
      lutimesSync(at("long"), 9, 9);
      execFileSync("mknod", [at("null"), "c", "1", "3"]);
      execFileSync("mknod", [at("block"), "b", "7", "300"]);
      execFileSync("mknod", [at("pipe"), "p"]);
      setXattr(
        at("etc/new"),
        "security.capability",
        Buffer.from("0100000200040000000000000000000000000000", "hex"),
      );
      setXattr(at("etc/config"), "user.note", "kept");
      // The kernel makes a hashed folder of a plain one when it outgrows its first block.
      mkdirSync(at("many"));
      for (let index = 0; index < 600; index++) writeFileSync(at(`many/of-them-${index}`), "");
      writeFileSync(at("sparse"), "");
      truncateSync(at("sparse"), 3 * MiB);
    },
    (root) => {
      const at = (name: string) => join(root, name);
      // Things of the step before: changed, removed, moved, and made anew with another kind.
      rmSync(at("etc/new-2"));
      renameSync(at("replaced/new"), at("replaced/moved"));
      rmSync(at("to-folder"), { recursive: true });
      mkdirSync(at("to-folder"));
      rmSync(at("pipe"));
      mkdirSync(at("pipe"));
      writeFileSync(at("pipe/in"), "p");
      mkdirSync(at("fresh/a/b"), { recursive: true });
      writeFileSync(at("fresh/a/b/c"), "c");
      writeFileSync(at("pair-1"), "p");
      linkSync(at("pair-1"), at("pair-2"));
      execFileSync("cp", ["-a", at("deep/er"), at("copied")]);
      rmSync(at("deep"), { recursive: true });
    },
    (root) => {
      rmSync(join(root, "fresh/a"), { recursive: true });
      renameSync(join(root, "fresh"), join(root, "renamed"));
      mkdirSync(join(root, "deep"));
    },
  ]);
  expect(lines).toEqual([]);
  expect(actual.get("pair-2")).toMatchObject({ sameAs: "pair-1", links: 2 });
  expect(actual.get("etc/new")?.xattrs).toHaveProperty(["security.capability"]);
  // It shows a single byte that differs.
  const other = new Map(actual);
  const config = actual.get("etc/config");
  if (config) other.set("etc/config", { ...config, content: sha256("C").slice(7) });
  expect(differences(actual, other)).toHaveLength(1);
});

here("any sequence of changes over several steps comes out as the kernel showed it", async () => {
  const names = ["a", "b", "deep", "deep/er", "replaced", "to-file", "linked", "etc/config"];
  const name = fc.constantFrom(...names);
  const change = fc.record({ kind: fc.nat(6), from: name, to: name });
  const step = fc.array(change, { minLength: 1, maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 3 }), async (steps) => {
      const { lines } = await layersOf(
        steps.map((changes) => (root) => {
          for (const each of changes) tryChange(root, each);
        }),
      );
      expect(lines).toEqual([]);
    }),
    { numRuns: 12 },
  );
});

/** What cannot be done as things are is left undone. */
function tryChange(
  root: string,
  { kind, from, to }: { kind: number; from: string; to: string },
): void {
  const [a, b] = [join(root, from), join(root, to)];
  try {
    if (kind === 0) writeFileSync(a, to);
    else if (kind === 1) rmSync(a, { recursive: true });
    else if (kind === 2) mkdirSync(a, { recursive: true });
    else if (kind === 3) execFileSync("mv", ["-T", a, b], { stdio: "ignore" });
    else if (kind === 4) linkSync(a, b);
    else if (kind === 5) symlinkSync(to, a);
    else for (const below of readdirSync(a)) rmSync(join(a, below), { recursive: true });
  } catch {
    // Another sequence can.
  }
}
