/**
 * A provisioned layer as the kernel sees it: what an overlay wrote, archived by the agent itself and
 * made into a layer, shows the same files over the same image.
 */
import { afterEach, beforeEach, expect } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run, runOk } from "#base/run.ts";
import { differences, setXattr, truthOf } from "#test/file-truth.ts";
import { makeLayout, openTestStore, refOf, type TestStore } from "#test/image-store.ts";
import { testNeeding } from "#test/needs.ts";

const AGENT = join(import.meta.dir, "../../build/bin/banger-vsock-agent");
const hostTest = testNeeding("root", "mount", "e2fsck");

/** CAP_NET_BIND_SERVICE, as a file has it. */
const NET_BIND = Buffer.from("0100000200040000000000000000000000000000", "hex");

/** What package managers do, and what an overlay keeps in its own way. */
const INSTALLATION = `
cd "$1"
rm etc/removed; rm -r gone
rm -r replaced; mkdir replaced; echo new >replaced/new
rm was-file; mkdir was-file; echo inside >was-file/x
rm -r was-folder; echo file >was-folder
echo changed >>etc/kept; chmod 4750 etc/kept; chown 12:34 etc/kept
chmod 700 touched
mv etc/moves usr/moved; ln usr/moved usr/hard; ln -s ../etc/kept usr/soft
mknod usr/null c 1 3; mkfifo usr/pipe
truncate -s 5M usr/sparse; echo tail >>usr/sparse
mkdir -p a/b/c; touch -d @1000000000.123456789 a/b/c; touch -d @5 a
rm etc/again; echo again >etc/again
`;

let store: TestStore;
let at: Record<"lower" | "upper" | "work" | "installed" | "layer" | "merged", string>;

beforeEach(() => {
  store = openTestStore({ firstBoot: "it" });
  const folder = mkdtempSync(join(tmpdir(), "banger-provisioned-"));
  const names = ["lower", "upper", "work", "installed", "layer", "merged"] as const;
  at = Object.fromEntries(names.map((name) => [name, join(folder, name)])) as typeof at;
});

afterEach(async () => {
  for (const place of [at.merged, at.layer, at.installed, at.lower, join(at.lower, "..")]) {
    await run(["umount", place]);
  }
  rmSync(join(at.lower, ".."), { recursive: true, force: true });
  store[Symbol.dispose]();
});

hostTest("over its image it shows what the first machine has", async () => {
  const names = ["etc/kept", "etc/removed", "etc/moves", "etc/again", "gone/a/b", "replaced/old"];
  const files = [...names, "was-file", "was-folder/x", "touched/file", "untouched/file"];
  await makeLayout(store, "base", Object.fromEntries(files.map((name) => [name, name])));
  const image = await store.images.pull({ reference: refOf(store, "base"), name: "base" });
  // An overlay cannot write to another overlay, which the temporary folder may lie on.
  mkdirSync(join(at.lower, ".."), { recursive: true });
  await runOk(["mount", "-t", "tmpfs", "tmpfs", join(at.lower, "..")]);
  for (const folder of Object.values(at)) mkdirSync(folder);
  await runOk(["mount", "-o", "loop,ro", image.rootfs, at.lower]);
  await runOk([
    ...["mount", "-t", "overlay", "overlay", "-o"],
    `lowerdir=${at.lower},upperdir=${at.upper},workdir=${at.work}`,
    at.installed,
  ]);
  mkdirSync(join(at.installed, "usr"));
  await runOk(["sh", "-euc", INSTALLATION, "sh", at.installed]);
  setXattr(join(at.installed, "usr/moved"), "security.capability", NET_BIND);

  const archive = Bun.spawn([AGENT, "tar-out", at.upper, "."], { stdout: "pipe" });
  expect(await store.images.provisioned.keep(image.id, { tar: archive.stdout })).toBeDefined();
  const path = store.images.show("base").provisioned?.path ?? "";
  expect(await run(["e2fsck", "-fn", path])).toMatchObject({ exitCode: 0 });
  await runOk(["mount", "-o", "loop,ro", path, at.layer]);
  await runOk([
    ...["mount", "-t", "overlay", "overlay", "-o"],
    `lowerdir=${at.layer}:${at.lower}`,
    at.merged,
  ]);
  const installed = truthOf(at.installed);
  // Folders count their links in a way of their own, and layers number their files each for itself.
  const ignore = (path: string, field: string) =>
    field === "sameAs" || (field === "links" && statSync(join(at.installed, path)).isDirectory());
  expect(differences(installed, truthOf(at.merged), ignore)).toEqual([]);
  expect(installed.get("usr/hard")?.links).toBe(2);
  expect(installed.has("gone")).toBe(false);
  expect(installed.has("replaced/old")).toBe(false);
});
