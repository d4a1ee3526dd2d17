/**
 * guest/boot/first-boot.sh with Debian's own apt and dpkg, in a root of Debian: packages from the host give the same
 * layer, file by file, as those that it downloads itself.
 */
import { afterAll, beforeAll, expect } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run, runOk } from "#base/run.ts";
import { debianLayout } from "#test/debian.ts";
import { differences, type FileTruth, truthOf } from "#test/file-truth.ts";
import { openTestStore, type TestStore } from "#test/image-store.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { testNeeding } from "#test/needs.ts";

const ROOT = join(import.meta.dir, "../..");
const DIRECTORY = 0o040000;
const hostTest = testNeeding("root", "unshare", "chroot", "mmdebstrap", "apt-get", "gpgv");

/** Skips syncs and extracts files with the real agent, and answers as the host does. */
const AGENT = `#!/bin/sh
[ "$1" != unsynced ] || exec /run/real-agent "$@"
[ "$2" != --lines ] || exec tee -a /run/banger/first-boot.log
case $2 in
packages)
	given=/run/banger/disk/packages
	if [ -e /run/tree.tar ]; then
		{ /run/real-agent tar-in $given "" </run/scripts.tar && /run/first-boot preinst &&
			/run/real-agent tar-in / "" </run/tree.tar && echo unpacked >/run/banger/packages; } >/run/extracted 2>&1 &
	else
		{ /run/real-agent tar-in $given "" </run/packages.tar >/run/extracted; echo given >/run/banger/packages; } &
	fi ;;
installed | failed) echo "$2" >/run/outcome; cat /run/banger/first-boot.log ;;
esac
`;

/** On a file system of its own: an overlay cannot write to another one, which the temporary directory may be on. */
let folder: string;
let store: TestStore;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-layer-"));
  store = openTestStore();
});

afterAll(async () => {
  await run(["umount", join(folder, "base")]);
  await run(["umount", folder]);
  rmSync(folder, { recursive: true, force: true });
  store?.[Symbol.dispose]();
});

/** Without archives it is a plain installation, also in that all programs are the image's own. */
function scriptFor(isGiven: boolean): string {
  const text = readFileSync(join(ROOT, "guest/boot/first-boot.sh"), "utf8");
  if (isGiven) return text;
  const plain = text.replace("\twrite_systemd_helper\n", "");
  expect(plain).not.toBe(text);
  return plain;
}

/** What a first boot writes to its layer, with archives from the host, or without. */
async function layer(
  name: string,
  archives: Record<string, AsyncIterable<Uint8Array>> = {},
): Promise<Map<string, FileTruth>> {
  const at = (path: string) => join(folder, name, path);
  for (const path of ["upper", "work", "merged", "run/banger"]) {
    mkdirSync(at(path), { recursive: true });
  }
  const isGiven = Object.keys(archives).length > 0;
  writeFileSync(at("cmdline"), `banger.first-boot=keep${isGiven ? " banger.packages=host" : ""}\n`);
  writeFileSync(at("run/banger/banger-vsock-agent"), AGENT);
  copyFileSync(join(ROOT, "build/bin/banger-vsock-agent"), at("run/real-agent"));
  writeFileSync(at("run/first-boot"), scriptFor(isGiven));
  for (const [file, archive] of Object.entries(archives)) {
    const parts: Uint8Array[] = [];
    for await (const chunk of archive) parts.push(chunk);
    writeFileSync(at(`run/${file}`), Buffer.concat(parts));
  }
  for (const path of ["run/banger/banger-vsock-agent", "run/first-boot"])
    chmodSync(at(path), 0o755);
  const merged = at("merged");
  const script = [
    "set -e",
    `mount -t overlay -o lowerdir=${folder}/base,upperdir=${at("upper")},workdir=${at("work")} overlay ${merged}`,
    `mount -t proc proc ${merged}/proc`,
    `mount --bind ${at("cmdline")} ${merged}/proc/cmdline`,
    `mount --bind ${at("run")} ${merged}/run`,
    `mount --rbind /dev ${merged}/dev`,
    `mount -t tmpfs tmpfs ${merged}/tmp`,
    `mount --bind /etc/resolv.conf ${merged}/etc/resolv.conf`,
    `exec chroot ${merged} /run/first-boot`,
  ];
  // With packages from the host a machine needs no network.
  const net = isGiven ? ["--net"] : [];
  const argv = ["unshare", ...net, "--mount", "--pid", "--fork", "--kill-child", "sh", "-c"];
  const child = Bun.spawn([...argv, script.join("\n")], {
    stdin: "ignore",
    stdout: Bun.file(at("output")),
    stderr: Bun.file(at("output")),
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  });
  while (!existsSync(at("run/outcome")) && child.exitCode === null) await Bun.sleep(50);
  // It waits for the host before it starts systemd.
  child.kill("SIGKILL");
  await child.exited;
  const outcome = existsSync(at("run/outcome")) ? readFileSync(at("run/outcome"), "utf8") : "";
  if (outcome !== "installed\n") throw new Error(readFileSync(at("output"), "utf8").slice(-4000));
  return truthOf(at("upper"));
}

const EXTENDED_STATES = "var/lib/apt/extended_states";
/** What the archive of a layer leaves out, and what belongs to a way of fetching. */
const OTHER =
  /^(run|tmp|var\/log|var\/cache|var\/lib\/apt\/lists|var\/lib\/dpkg\/lock-frontend|etc\/ssh\/ssh_host_.*|etc\/machine-id|var\/lib\/dbus\/machine-id)(\/|$)/;
const NOTES = /^trusted\.overlay\.(?!opaque)/;

/** Without what depends on the moment, or on the overlay that it is in. */
function timeless(tree: Map<string, FileTruth>, started_ns: bigint): Map<string, object> {
  const files = [...tree].filter(([path]) => !OTHER.test(path) && path !== EXTENDED_STATES);
  return new Map(
    files.map(([path, { mtime, links, sameAs: _, xattrs, ...truth }]) => {
      // A directory that the image does not have hides nothing there.
      const isNew = !existsSync(join(folder, "base", path));
      const kept = isNew ? [] : Object.entries(xattrs).filter(([name]) => !NOTES.test(name));
      const isOwn = mtime < started_ns;
      const count = truth.type === DIRECTORY ? 0 : links;
      return [path, { ...truth, links: count, mtime: isOwn ? mtime : "now", xattrs: kept }];
    }),
  );
}

/** apt writes them in the order of its memory. */
function automatic(name: string): string[] {
  return readFileSync(join(folder, name, "upper", EXTENDED_STATES), "utf8")
    .split("\n\n")
    .sort();
}

hostTest("packages from the host give the same layer as the guest's own", async () => {
  const started_ns = BigInt(Date.now()) * 1_000_000n;
  const reference = `oci:${await debianLayout()}:bookworm`;
  const image = await store.images.pull({ reference, name: "debian" });
  await runOk(["mount", "-t", "tmpfs", "tmpfs", folder]);
  mkdirSync(join(folder, "base"));
  await runOk(["mount", "-o", "loop,ro", image.rootfs, join(folder, "base")]);
  const signal = AbortSignal.timeout(LIMIT_MS);
  using repository = await store.images.preparePackages(image.id, { signal });
  const { unpacked } = repository;
  if (!unpacked) throw new Error("the packages cannot be unpacked by the host");
  const own = timeless(await layer("own"), started_ns);
  const given = timeless(await layer("given", { "packages.tar": repository.tar() }), started_ns);
  const archives = { "scripts.tar": unpacked.scripts(), "tree.tar": unpacked.tree() };
  const ready = timeless(await layer("unpacked", archives), started_ns);
  expect(given.size).toBeGreaterThan(1000);
  expect(given.has("usr/lib/systemd/systemd") || given.has("lib/systemd/systemd")).toBe(true);
  expect(differences(own, given)).toEqual([]);
  expect(differences(own, ready)).toEqual([]);
  expect(automatic("unpacked")).toEqual(automatic("own"));
});
