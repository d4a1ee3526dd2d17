/** Images as e2fsck and the kernel see them, beside the same layers unpacked by GNU tar. */
import { afterAll, beforeAll, expect } from "bun:test";
import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, mkdtempSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Digest, sha256 } from "#base/digest.ts";
import { run, runOk } from "#base/run.ts";
import { GiB, KiB, MiB } from "#base/size.ts";
import { formatEmpty } from "#ext4/empty/empty.ts";
import { openExt4 } from "#ext4/read/reader.ts";
import { exportTar } from "#images/export/tar.ts";
import { buildRootfs } from "#images/rootfs/write.ts";
import type { Layer } from "#oci/layer.ts";
import { differences, setXattr, truthOf } from "#test/file-truth.ts";
import { testNeeding } from "#test/needs.ts";
import { dir, file, makeLayer, makeTar, symlink } from "#test/tar-build.ts";

let folder: string;
let count = 0;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-rootfs-test-"));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SEED = sha256("test");

function fresh(name: string): string {
  return join(folder, `${++count}-${name}`);
}

async function layerOfFile(path: string): Promise<Layer> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  const digest = `sha256:${hash.digest("hex")}` as Digest;
  return {
    digest,
    diffId: digest,
    size: statSync(path).size,
    mediaType: "application/vnd.oci.image.layer.v1.tar",
    compressed: () => createReadStream(path, { highWaterMark: MiB }),
  };
}

async function expectClean(image: string): Promise<void> {
  const { exitCode, stdout, stderr } = await run(["e2fsck", "-fn", image]);
  if (exitCode !== 0) throw new Error(`e2fsck found errors:\n${stdout}${stderr}`);
}

/** Calls `look` with the folder where the image is mounted; unmounts it whatever happens. */
async function mounted<T>(image: string, options: string, look: (at: string) => T): Promise<T> {
  const at = fresh("mount");
  mkdirSync(at);
  await runOk(["mount", "-t", "ext4", "-o", `loop,${options}`, image, at]);
  try {
    return await look(at);
  } finally {
    await runOk(["umount", at]);
  }
}

let made: Promise<string> | undefined;

/** The folder that `makeVariety` fills, made once. */
function variety(): Promise<string> {
  const at = fresh("variety");
  made ??= makeVariety(at).then(() => at);
  return made;
}

/** A folder with everything that ext4 and GNU tar can hold. */
async function makeVariety(at: string): Promise<void> {
  mkdirSync(at);
  await runOk(["sh", "-euc", VARIETY], { cwd: at });
  setXattr(join(at, "xattr-small"), "user.a", "b");
  setXattr(join(at, "xattr-empty"), "user.empty", "");
  setXattr(join(at, "xattr-binary"), "user.bin", Uint8Array.of(0, 255, 10, 61, 32, 0));
  for (let n = 0; n < 60; n++) setXattr(join(at, "xattr-many"), `user.name${n}`, `v-${n}-${n}`);
  setXattr(join(at, "xattr-large"), "user.large", "v".repeat(3500));
  setXattr(join(at, "xattr-dir"), "trusted.t", "1");
  setXattr(join(at, "xattr-dir"), "security.s", "2");
  setXattr(
    join(at, "acl"),
    "system.posix_acl_access",
    acl([1, 6], [2, 7, 1000], [4, 4], [8, 4, 2000], [16, 7], [32, 0]),
  );
  setXattr(
    join(at, "acl-dir"),
    "system.posix_acl_default",
    acl([1, 7], [2, 5, 44], [4, 5], [16, 5], [32, 5]),
  );
  // Version 2, effective; CAP_NET_RAW permitted.
  const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");
  setXattr(join(at, "capable"), "security.capability", capability);
}

/** A POSIX ACL in the kernel's form, from (tag, permissions, id). */
function acl(...entries: [number, number, number?][]): Buffer {
  const bytes = Buffer.alloc(4 + 8 * entries.length);
  bytes.writeUInt32LE(2);
  for (const [index, [tag, permissions, id]] of entries.entries()) {
    bytes.writeUInt16LE(tag, 4 + index * 8);
    bytes.writeUInt16LE(permissions, 6 + index * 8);
    bytes.writeUInt32LE(id ?? 0xffffffff, 8 + index * 8);
  }
  return bytes;
}

const VARIETY = String.raw`
umask 022
for n in 0 1 511 512 513 4095 4096 4097 8192 1048575 1048576 1048577 5000000; do
  head -c $n /dev/urandom > size-$n
done
for n in 1 58 59 60 61 255 1023 4000; do
  ln -s "$(head -c $n /dev/zero | tr '\0' x)" symlink-$n
done
ln -s /etc/absolute absolute; ln -s ../../../up up
name=$(head -c 255 /dev/zero | tr '\0' n); echo long > $name
deep=d; for i in $(seq 60); do deep=$deep/$(head -c 40 /dev/zero | tr '\0' a); done; mkdir -p $deep; echo deep > $deep/file
printf 'bytes' > "$(printf 'not-utf8-\377\376\200')"; echo n > "$(printf 'new\nline')"; echo s > 'sp ace'
mknod char c 1 3; mknod block b 7 200; mknod big-minor c 10 300; mknod big-major b 300 70000; mkfifo pipe
echo a > link-a; ln link-a link-b; mkdir linked; ln link-a linked/link-c
ln -s target sym-a; ln sym-a sym-b
mkdir setgid sticky none; chmod 2755 setgid; chmod 1777 sticky; chmod 0 none
echo s > setuid; chmod 4755 setuid; echo m > mode-0; chmod 0 mode-0
echo o > owned; chown 1234:5678 owned; echo O > big-owner; chown 3000000000:4000000000 big-owner
touch -d '1960-01-02 03:04:05.123456789' before-1970; touch -d '1901-12-14' early
touch -d '2040-01-01 00:00:00.999999999' after-2038; touch -d '2400-06-07 08:09:10.000000001' far
touch xattr-small xattr-empty xattr-binary xattr-many xattr-large acl; mkdir xattr-dir acl-dir; cp /bin/true capable
mkdir empty; mkdir few; (cd few; seq 40 | xargs touch); mkdir many; (cd many; seq 1200 | xargs touch)
mkdir long-names; (cd long-names; for i in $(seq 100); do touch "$i-$(head -c 240 /dev/zero | tr '\0' l)"; done)
mkdir dirs; (cd dirs; seq 60 | xargs mkdir)
truncate -s 10M hole-all; truncate -s 3000000 hole-end; printf start | dd of=hole-end conv=notrunc status=none
dd if=/dev/urandom of=hole-middle bs=4096 count=3 seek=2000 status=none; dd if=/dev/urandom of=hole-middle bs=1 count=100 conv=notrunc status=none
for i in $(seq 0 3 90); do dd if=/dev/urandom of=hole-many bs=4096 count=1 seek=$i conv=notrunc status=none; done
`;

const isRoot = testNeeding("root", "e2fsck", "tar", "mount");

for (const [format, extra] of [
  ["pax", []],
  ["pax", ["--sparse", "--sparse-version=1.0"]],
  ["pax", ["--sparse", "--sparse-version=0.1"]],
  ["pax", ["--sparse", "--sparse-version=0.0"]],
  ["gnu", []],
  ["gnu", ["--sparse"]],
] as const) {
  isRoot(
    `the kernel sees in the image what GNU tar packed (${format} ${extra.join(" ")})`,
    async () => {
      const tree = await variety();
      const archive = fresh("tar");
      const flags = format === "pax" ? ["--xattrs", "--xattrs-include=*"] : [];
      await runOk([
        "tar",
        `--format=${format}`,
        ...extra,
        ...flags,
        "-cf",
        archive,
        "-C",
        tree,
        ".",
      ]);
      const unpacked = fresh("unpacked");
      mkdirSync(unpacked);
      await runOk(["tar", "--xattrs", "--xattrs-include=*", "-xpf", archive, "-C", unpacked]);
      const image = fresh("image");
      await buildRootfs([await layerOfFile(archive)], { path: image, seed: SEED });
      await expectClean(image);
      const actual = await mounted(image, "ro", truthOf);
      expect(differences(truthOf(unpacked), actual)).toEqual([]);
    },
  );
}

for (const size_bytes of [
  8 * MiB,
  8 * MiB + 4 * KiB + 1,
  100 * MiB,
  128 * MiB,
  128 * MiB + 200 * KiB,
  300 * MiB,
  GiB,
  10 * GiB + 5 * MiB,
  600 * GiB,
  3 * 1024 * GiB,
]) {
  testNeeding("e2fsck")(
    `an empty file system of ${size_bytes} bytes is clean and takes little`,
    async () => {
      const path = fresh("empty");
      await formatEmpty(path, { size_bytes, seed: "a machine", label: "banger" });
      await expectClean(path);
      expect(statSync(path).size).toBe(size_bytes);
      expect(statSync(path).blocks * 512).toBeLessThan(128 * KiB + size_bytes / 2 ** 20);
      rmSync(path);
    },
  );
}

isRoot("Linux reads attributes that are larger than a block of ext4", async () => {
  const path = fresh("large-attributes");
  const pax = (...values: [name: string, size: number][]) => ({
    pax: Object.fromEntries(
      values.map(([name, size]) => [`SCHILY.xattr.${name}`, name.repeat(size).slice(0, size)]),
    ),
  });
  const tar = makeTar([
    file(
      "several",
      "x",
      pax(["user.a", 3000], ["user.b", 3000], ["user.c", 65_536], ["user.d", 9]),
    ),
    dir("folder", pax(["trusted.e", 20_000])),
    { ...symlink("link", "short"), ...pax(["trusted.f", 9000]) },
  ]);
  await buildRootfs([makeLayer(tar)], { path, seed: sha256("large") });
  await expectClean(path);
  const truth = await mounted(path, "ro", async (at) => truthOf(at));
  const seen = ["several", "folder", "link"].map((name) => truth.get(name));
  expect(seen.map((each) => Object.keys(each?.xattrs ?? {}))).toEqual([
    ["user.a", "user.b", "user.c", "user.d"],
    ["trusted.e"],
    ["trusted.f"],
  ]);
  using reader = openExt4(path);
  const again = makeLayer(Buffer.concat(await Array.fromAsync(exportTar(reader))));
  const copy = fresh("large-attributes-again");
  await buildRootfs([again], { path: copy, seed: sha256("large") });
  await expectClean(copy);
  expect(differences(truth, await mounted(copy, "ro", async (at) => truthOf(at)))).toEqual([]);
});

isRoot("Linux mounts an empty file system, fills it, grows it and leaves it clean", async () => {
  const path = fresh("empty");
  await formatEmpty(path, { size_bytes: 200 * MiB, seed: "a machine" });
  const written = await mounted(path, "rw", async (at) => {
    await runOk(
      [
        "sh",
        "-euc",
        "mkdir -p a/b; seq 3000 | (cd a; xargs touch); head -c 30M /dev/urandom > big; cp -a /etc/passwd a/b; sync",
      ],
      { cwd: at },
    );
    return truthOf(at);
  });
  await expectClean(path);
  // Offline: growing a mounted one takes CAP_SYS_RESOURCE, which root in a container may not have.
  truncateSync(path, 12 * GiB);
  await run(["e2fsck", "-fp", path]);
  await runOk(["resize2fs", path]);
  const grown = await mounted(path, "rw", async (at) => {
    await runOk(["sh", "-euc", "head -c 200M /dev/zero | tr '\\0' x > fill; sync; rm fill"], {
      cwd: at,
    });
    return truthOf(at);
  });
  await expectClean(path);
  expect([...grown.keys()]).toEqual([...written.keys()]);
  expect(differences(written, grown, (path) => path === ".")).toEqual([]);
});
