/**
 * Compares a pull from a local registry to a finished disk, through the built program, to decompressing the layers to
 * /dev/null and to other tools.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { formatSize } from "#base/size.ts";
import { debianLayout } from "#test/debian.ts";
import { type Installation, install } from "#test/installation.ts";
import { type Descriptor, readIndex } from "#test/oci-layout.ts";
import { pushLayout, startRegistry } from "#test/registry.ts";
import { largeLayout, manyFilesLayout } from "./images.ts";
import { printRatio, program, race } from "./measure.ts";

const BUDGET_GUNZIP = 2;
const BUDGET_OTHER = 8;
const BUDGET_MEMORY = "200 MiB";
const BUDGET_AGAIN_MS = 50;

const images = [
  { name: "debian", layout: () => debianLayout(), rounds: 7, otherRounds: 2 },
  { name: "many-files", layout: manyFilesLayout, rounds: 3, otherRounds: 1 },
  { name: "large", layout: largeLayout, rounds: 3, otherRounds: 1 },
];
const wanted = process.env["BENCH_IMAGES"]?.split(",");

await using registry = await startRegistry();
await using banger = install();
const folder = mkdtempSync(join(tmpdir(), "banger-bench-"));
try {
  for (const { name, layout, rounds, otherRounds } of images) {
    if (wanted && !wanted.includes(name)) continue;
    const path = await layout();
    await pushLayout(path, { host: registry.host, name, tag: "1" });
    await comparePulls({ name, layout: path, rounds, otherRounds });
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function comparePulls(image: {
  name: string;
  layout: string;
  rounds: number;
  otherRounds: number;
}): Promise<void> {
  const { name, rounds, otherRounds } = image;
  const blobs = layersOf(image.layout);
  const reference = `${registry.host}/${name}:1`;
  const forget = async () => {
    await banger.call(["image", "rm", `${name}-1`]);
    await banger.ok("image", "gc", "--all");
  };
  const pull = () => banger.ok("image", "pull", reference);
  // Each image has a daemon of its own, whose peak of memory it is then.
  await banger.ok("daemon", "restart");
  await pull();
  const compressed = blobs.reduce((sum, path) => sum + statSync(path).size, 0);
  console.log(`-- ${name}: ${blobs.length} layers, ${formatSize(compressed)} compressed`);
  const [igzip = 0, ours = 0] = await race(
    [
      { name: "igzip -dc to /dev/null", run: () => program("igzip", "-dc", ...blobs) },
      { name: "banger image pull", prepare: forget, run: pull },
    ],
    rounds,
  );
  const peak = peakOf(banger);
  const [again = 0] = await race([{ name: "the same again", run: pull }], 15);
  printRatio("banger image pull / igzip -dc", ours / igzip, `at most ${BUDGET_GUNZIP}`);
  console.log(`${again.toFixed(1).padStart(9)} ms  a second pull; budget ${BUDGET_AGAIN_MS} ms`);
  console.log(
    `${peak.padStart(12)}  peak resident memory of the daemon; budget ${BUDGET_MEMORY}\n`,
  );
  await pinDaemon(banger, "0");
  const [alone = 0] = await race(
    [{ name: "the pull on one processor", prepare: forget, run: pull }],
    rounds,
  );
  await pinDaemon(banger, `0-${cpus().length - 1}`);
  printRatio("on one processor / on all", alone / ours, "more than 1");
  const [other = 0] = await race(
    [{ name: "skopeo copy + umoci unpack + mke2fs -d", run: () => otherWay(reference) }],
    otherRounds,
  );
  printRatio("skopeo + umoci + mke2fs / banger", other / ours, `at least ${BUDGET_OTHER}`);
  if (!Bun.which("podman")) return console.log("[needs podman]\n");
  const [podman = 0] = await race(
    [{ name: "podman pull", run: () => podmanPull(reference) }],
    otherRounds,
  );
  printRatio("podman pull / banger", podman / ours, "more than 1");
}

function layersOf(layout: string): string[] {
  const blob = (digest: string) => join(layout, "blobs", digest.replace(":", "/"));
  const digest = readIndex(layout).manifests[0]?.digest ?? "";
  const { layers } = JSON.parse(readFileSync(blob(digest), "utf8")) as { layers: Descriptor[] };
  return layers.map((layer) => blob(layer.digest));
}

function daemonOf(installation: Installation): string {
  const daemon = installation.processes().find(({ command }) => command.includes("daemon run"));
  return `${daemon?.pid}`;
}

/** All threads of the daemon, and those that they start. */
async function pinDaemon(installation: Installation, processors: string): Promise<void> {
  await program("taskset", "-acp", processors, daemonOf(installation));
}

function peakOf(installation: Installation): string {
  const status = readFileSync(`/proc/${daemonOf(installation)}/status`, "utf8");
  return formatSize(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024);
}

async function otherWay(reference: string): Promise<void> {
  const [copy, bundle, disk] = ["copy", "bundle", "other.ext4"].map((each) => join(folder, each));
  const plain = "--src-tls-verify=false";
  await program("skopeo", "copy", "-q", plain, `docker://${reference}`, `oci:${copy}:x`);
  await program("umoci", "unpack", "--image", `${copy}:x`, `${bundle}`);
  await program(
    "mke2fs",
    "-q",
    "-F",
    "-t",
    "ext4",
    "-N",
    "200000",
    "-d",
    `${bundle}/rootfs`,
    `${disk}`,
    "6G",
  );
  for (const made of [copy, bundle, disk]) rmSync(`${made}`, { recursive: true, force: true });
}

async function podmanPull(reference: string): Promise<void> {
  const [root, run] = ["podman-root", "podman-run"].map((each) => join(folder, each));
  const places = ["--root", `${root}`, "--runroot", `${run}`, "--storage-driver", "overlay"];
  await program("podman", ...places, "pull", "-q", "--tls-verify=false", reference);
  for (const made of [root, run]) await program("rm", "-rf", `${made}`);
  if (readdirSync(folder).length > 0) throw new Error(`${folder} is not empty`);
}
