import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Image } from "#api/image.ts";
import { STAGING_MARK } from "#base/files/atomic.ts";
import { modes } from "#ext4/format.ts";
import { openExt4 } from "#ext4/read/reader.ts";
import type { ImageService } from "#images/service.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { makeLayout, makeRootfs, openTestStore, refOf, type TestStore } from "#test/image-store.ts";
import { dir, file, hardLink, makeTar, symlink, type TarSpec } from "#test/tar-build.ts";

let store: TestStore;
let images: ImageService;
let image: Image;

beforeEach(async () => {
  store = openTestStore({ firstBoot: "this one" });
  images = store.images;
  await makeLayout(store, "base", { "etc/os-release": "ID=debian" });
  image = await images.pull({ reference: refOf(store, "base"), name: "base" });
});

afterEach(() => store[Symbol.dispose]());

const whiteout = (name: string): TarSpec => ({ name, type: "3", major: 0, minor: 0, mode: 0 });
const overlay = (name: string, value = "y") => ({
  [`SCHILY.xattr.trusted.overlay.${name}`]: value,
});
const root = dir("", { name: "./" });

async function* chunks(...parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
}

function keep(...specs: TarSpec[]) {
  return images.provisioned.keep(image.id, { tar: chunks(makeTar([root, ...specs])) });
}

/** A machine that stands on a layer of an image. */
function insertMachine(name: string, layer: string): void {
  store.db
    .query(
      `INSERT INTO vms (id, name, state, image_id, kernel, spec, created_at)
       VALUES ($name, $name, 'stopped', $imageId, 'k', $spec, '2026-01-01T00:00:00.000Z')`,
    )
    .run({ name, imageId: image.id, spec: JSON.stringify({ provisioned: layer }) });
}

const files = () => readdirSync(store.paths.image(image.id).folder).sort();

test("what was installed becomes a layer, with what it removes from the image", async () => {
  const layer = await keep(
    dir("./usr"),
    file("./usr/init", "program", { mode: 0o4755, pax: overlay("origin", "handle") }),
    hardLink("./usr/linked", "./usr/init"),
    whiteout("./usr/gone"),
    dir("./usr/new", { pax: { ...overlay("opaque"), ...overlay("impure") } }),
    symlink("./usr/link", "init"),
  );
  const { provisioned } = images.show("base");
  expect(provisioned?.path).toEndWith(`provisioned-${layer?.id}.ext4`);
  using reader = openExt4(provisioned?.path ?? "");
  const init = reader.stat("/usr/init");
  const [data] = [...reader.chunks(init)];
  expect(Buffer.from(data?.bytes ?? "").toString()).toBe("program");
  expect(init).toMatchObject({ type: modes.REGULAR, mode: 0o4755, links: 2 });
  expect(reader.stat("/usr/gone")).toMatchObject({ type: modes.CHARACTER, major: 0, minor: 0 });
  const names = (path: string) =>
    reader.xattrs(reader.stat(path)).map(({ name }) => Buffer.from(name).toString());
  expect(names("/usr/new")).toEqual(["trusted.overlay.opaque"]);
  expect(names("/usr/init")).toEqual([]);
});

test("nothing in a layer tells which machine it comes from", async () => {
  const own = ["etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/machine-id"];
  const more = [
    ...[
      "etc/ssh/ssh_host_ed25519_key",
      "etc/ssh/ssh_host_rsa_key.pub",
      "root/.ssh/authorized_keys",
    ],
    ...["var/log/dpkg.log", "var/log/apt/term.log", "tmp/x", "var/tmp/y", "run/z", "dev/null"],
    ...["var/lib/systemd/random-seed", "usr/local/libexec/banger-first-boot"],
  ];
  const folders = ["etc", "etc/ssh", "root", "root/.ssh", "var", "var/log", "var/log/apt", "tmp"];
  await keep(
    ...folders.map((name) => dir(`./${name}`)),
    ...[...own, ...more].map((name) => file(`./${name}`)),
    file("./etc/ssh/sshd_config"),
    symlink("./var/lib/dbus/machine-id", "/etc/machine-id"),
    whiteout("./var/log/gone"),
  );
  using reader = openExt4(images.show("base").provisioned?.path ?? "");
  const all = (path: string): string[] =>
    reader.list(path).flatMap(({ name }) => {
      const at = `${path === "/" ? "" : path}/${Buffer.from(name)}`;
      return reader.stat(at).type === modes.DIRECTORY ? all(at) : [at];
    });
  expect(all("/").sort()).toEqual([
    "/etc/ssh/sshd_config",
    "/var/lib/dbus/machine-id",
    "/var/log/gone",
  ]);
});

test("it is wanted once for each first boot, and not where the files are the user's", async () => {
  expect(images.provisioned.isWanted(image.id)).toBe(true);
  const first = await keep(file("./one"));
  expect(images.provisioned.isWanted(image.id)).toBe(false);
  expect(images.provisioned.current(image.id)).toEqual(first);
  expect(await keep(file("./two"))).toBeUndefined();
  const newer = store.reopen({ firstBoot: "another" });
  expect(newer.provisioned.current(image.id)).toBeUndefined();
  expect(newer.provisioned.isWanted(image.id)).toBe(true);
  expect(newer.show("base").provisioned).toBeUndefined();
  const rootfs = await makeRootfs(store, "mine.ext4");
  const mine = await images.register({ name: "mine", rootfs });
  expect(images.provisioned.isWanted(mine.id)).toBe(false);
});

test("of two machines that install at once one is kept", async () => {
  const made = await Promise.all([keep(file("./one")), keep(file("./two")), keep(file("./three"))]);
  expect(made.filter((layer) => layer !== undefined)).toHaveLength(1);
  expect(files()).toHaveLength(2);
});

const hostile: [what: string, parts: Uint8Array[]][] = [
  ["is cut", [makeTar([root, file("./a", Buffer.alloc(4000))]).subarray(0, 3000)]],
  ["is noise", [Buffer.alloc(4096, 0x5a)]],
  ["leads out", [makeTar([file("../../etc/passwd")])]],
  ["needs the layer below", [makeTar([dir("./a", { pax: overlay("redirect", "/etc") })])]],
  ["has files without content", [makeTar([file("./a", "", { pax: overlay("metacopy", "") })])]],
  ["speaks of removal as images do", [makeTar([file("./.wh.etc", "")])]],
];
for (const [what, parts] of hostile) {
  test(`an archive that ${what} leaves nothing`, async () => {
    const before = files();
    const keeping = images.provisioned.keep(image.id, { tar: chunks(...parts) });
    expect((await bangerErrorOf(keeping)).code).toBeOneOf(["integrity", "unsupported"]);
    expect(files()).toEqual(before);
    expect(images.provisioned.isWanted(image.id)).toBe(true);
  });
}

test("a guest that breaks off, and one who no longer waits, leave nothing", async () => {
  const before = files();
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield makeTar([root, file("./a")], false);
    throw new Error("the machine is gone");
  }
  await expect(images.provisioned.keep(image.id, { tar: broken() })).rejects.toThrow("is gone");
  const options = { tar: chunks(makeTar([root])), signal: AbortSignal.abort() };
  expect((await bangerErrorOf(images.provisioned.keep(image.id, options))).code).toBe("cancelled");
  expect(files()).toEqual(before);
});

test("a guest that never ends its archive is cut off", async () => {
  const before = files();
  async function* endless(): AsyncGenerator<Uint8Array> {
    yield makeTar([{ ...file("./a", ""), size: 2 ** 33 - 1 }], false);
    const zeros = new Uint8Array(2 ** 20);
    for (;;) yield zeros;
  }
  const keeping = images.provisioned.keep(image.id, { tar: endless(), max_bytes: 2 ** 24 });
  expect((await bangerErrorOf(keeping)).code).toBe("limit_exceeded");
  expect(files()).toEqual(before);
});

test("du counts it, gc leaves it, and it goes with its image", async () => {
  const before = images.usage().images_bytes;
  await keep(file("./big", Buffer.alloc(300_000, "x")));
  const allocated = images.show("base").provisioned?.allocated_bytes ?? 0;
  expect(allocated).toBeGreaterThan(300_000);
  expect(images.usage().images_bytes - before).toBe(allocated);
  expect(await images.gc()).toMatchObject({ layers: 0, orphans: 0 });
  expect(images.sweep()).toEqual([]);
  images.remove("base");
  expect(existsSync(store.paths.image(image.id).folder)).toBe(false);
  expect(store.db.query("SELECT * FROM provisioned_layers").all()).toEqual([]);
});

test("one that is given up stays while a machine stands on it, and is garbage then", async () => {
  const layer = await keep(file("./one"));
  insertMachine("m", layer?.id ?? "");
  images.unprovision("base");
  expect(images.show("base").provisioned).toBeUndefined();
  expect(existsSync(images.provisioned.pathOf(image.id, layer?.id ?? ""))).toBe(true);
  expect(await images.gc()).toMatchObject({ layers: 0 });
  store.db.run("DELETE FROM vms");
  const reclaimable = images.usage().reclaimable_bytes;
  expect(reclaimable).toBeGreaterThan(0);
  expect(await images.gc()).toMatchObject({ layers: 1, orphans: 0, freed_bytes: reclaimable });
  expect(files()).toEqual(["rootfs.ext4"]);
});

test("an image's second name comes with it, and takes no room", async () => {
  await keep(file("./big", Buffer.alloc(300_000, "x")));
  const before = images.usage().images_bytes;
  await images.tag("base", "other");
  const [one, other] = [images.show("base"), images.show("other")];
  expect(statSync(other.provisioned?.path ?? "").ino).toBe(
    statSync(one.provisioned?.path ?? "").ino,
  );
  expect(images.usage().images_bytes).toBe(before);
  images.remove("base");
  expect(existsSync(other.provisioned?.path ?? "")).toBe(true);
  expect(images.sweep()).toEqual([]);
});

test("what a crash left of one is removed at the next start", async () => {
  const { folder } = store.paths.image(image.id);
  writeFileSync(join(folder, `${STAGING_MARK}provisioned-1234`), "half");
  writeFileSync(join(folder, "provisioned-norow.ext4"), "no row yet");
  expect(store.reopen().sweep()).toHaveLength(2);
  expect(files()).toEqual(["rootfs.ext4"]);
});

test("a machine whose layer is gone is told", async () => {
  expect(() => images.provisioned.pathOf(image.id, "gone")).toThrow("missing file");
  writeFileSync(join(store.paths.image(image.id).folder, "../other.ext4"), "not a layer of it");
  expect(() => images.provisioned.pathOf(image.id, "/../../other")).toThrow("missing file");
});
