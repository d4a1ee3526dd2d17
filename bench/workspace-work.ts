/**
 * Work of developers in one machine: on its own disk, which is below an overlay, on a volume, which is a disk of the same
 * machine without one, and in a directory of the host shared by 9P. The projects are made up: no package comes from the internet.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { runOk } from "#base/run.ts";
import type { Installation } from "#test/installation.ts";
import { makeTar } from "#test/tar-build.ts";

/** Of the machine, each a column; the others are compared with the volume. */
const PLACES = [
  { name: "Own disk", path: "/own" },
  { name: "Volume", path: "/volume" },
  { name: "Shared directory", path: "/share" },
];
const REFERENCE = "/volume";
/** The first goes through the places in their order, the next in the opposite one; the shorter time counts. */
const ROUNDS = 2;

export interface WorkScale {
  /** Files of the C project, and packages of the lock file. */
  sources: number;
  packages: number;
}

const FUNCTIONS = 30;
const PACKAGE_FILES = 12;
const PACKAGE_FILE_BYTES = 3000;

/** A project in C, and one for npm with its cache, below `folder`. */
export async function makeProjects(folder: string, scale: WorkScale): Promise<void> {
  makeC(join(folder, "c"), scale.sources);
  await makeNpm(folder, scale.packages);
}

function makeC(folder: string, sources: number): void {
  mkdirSync(folder, { recursive: true });
  const objects: string[] = [];
  for (let at = 0; at < sources; at++) {
    const functions = Array.from({ length: FUNCTIONS }, (_, each) => {
      const name = `f${at}_${each}`;
      return `int ${name}(int n)\n{\n\tint sum = 0;\n\tfor (int i = 0; i < n; i++)\n\t\tsum += i * ${each} ^ (sum >> ${(each % 7) + 1});\n\treturn sum;\n}\n`;
    });
    writeFileSync(join(folder, `f${at}.c`), `#include <stdio.h>\n${functions.join("\n")}`);
    objects.push(`f${at}.o`);
  }
  writeFileSync(join(folder, "main.c"), "int main(void) { return 0; }\n");
  writeFileSync(
    join(folder, "Makefile"),
    `all: main.o ${objects.join(" ")}\n\tcc -o all $^\nclean:\n\trm -f *.o all\n`,
  );
}

/** npm on the host takes the packages from a registry of ours, into a cache that the machine gets. */
async function makeNpm(folder: string, packages: number): Promise<void> {
  const tarballs = new Map<string, Uint8Array<ArrayBuffer>>();
  const names = Array.from({ length: packages }, (_, at) => `bench-package-${at}`);
  for (const name of names) tarballs.set(name, Uint8Array.from(gzipSync(packageTar(name))));
  const headers = { "cache-control": "public, max-age=86400" };
  using registry = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch({ url }) {
      const { pathname, origin } = new URL(url);
      const name = pathname.split("/")[1] ?? "";
      const tarball = tarballs.get(name);
      if (!tarball) return new Response("", { status: 404 });
      if (pathname.endsWith(".tgz")) return new Response(new Blob([tarball]), { headers });
      const integrity = `sha512-${new Bun.CryptoHasher("sha512").update(tarball).digest("base64")}`;
      const dist = { tarball: `${origin}/${name}/-/${name}-1.0.0.tgz`, integrity };
      const versions = { "1.0.0": { name, version: "1.0.0", dist } };
      return Response.json({ name, "dist-tags": { latest: "1.0.0" }, versions }, { headers });
    },
  });
  const project = join(folder, "npm");
  mkdirSync(project, { recursive: true });
  const dependencies = Object.fromEntries(names.map((name) => [name, "1.0.0"]));
  const manifest = { name: "bench", version: "1.0.0", dependencies };
  writeFileSync(join(project, "package.json"), JSON.stringify(manifest));
  // In the project, since the cache knows answers by their addresses.
  writeFileSync(join(project, ".npmrc"), `registry=http://127.0.0.1:${registry.port}/\n`);
  const from = ["--no-audit", "--no-fund", "--omit-lockfile-registry-resolved=false"];
  await runOk(
    ["npm", "install", "--prefix", project, "--cache", join(folder, "npm-cache"), ...from],
    { timeout_ms: 300_000 },
  );
  await runOk(["rm", "-rf", join(project, "node_modules")]);
}

function packageTar(name: string): Uint8Array {
  const body = `exports.value = "${"x".repeat(PACKAGE_FILE_BYTES)}";\n`;
  const files = Array.from({ length: PACKAGE_FILES }, (_, at) => ({
    name: `package/lib/file-${at}.js`,
    content: body,
  }));
  const manifest = JSON.stringify({ name, version: "1.0.0", main: "lib/file-0.js" });
  return makeTar([{ name: "package/package.json", content: manifest }, ...files]);
}

/** What is done in each place, where `prepare` is not measured. */
const WORK: readonly { name: string; prepare: string; run: string }[] = [
  {
    name: "`git status`",
    prepare: "[ -d git ] || cp -a /workspace git; cd git; git status >/dev/null",
    run: "cd git; git status",
  },
  {
    name: "`make -j2`, C",
    prepare: "[ -d c ] || cp -a /projects/c c; make -C c clean",
    run: "make -C c -j2",
  },
  {
    name: "`npm ci`, offline",
    prepare: "[ -d npm ] || cp -a /projects/npm npm; rm -rf npm/node_modules",
    run: "cd npm; npm ci --offline --no-audit --no-fund --cache /projects/npm-cache",
  },
];

/** Prints the table; the machine "m" has the projects in /projects, and a workspace. */
export async function measureWork(banger: Installation): Promise<void> {
  console.log(`| Work | ${PLACES.map(({ name }) => name).join(" | ")} |`);
  console.log(`| --- |${" --- |".repeat(PLACES.length)}`);
  for (const { name, prepare, run } of WORK) {
    const best = new Map<string, number>();
    for (let round = 0; round < ROUNDS; round++) {
      for (const { path } of round % 2 === 0 ? PLACES : PLACES.toReversed()) {
        const ms = await time_ms(banger, { place: path, prepare, run });
        best.set(path, Math.min(ms, best.get(path) ?? Number.POSITIVE_INFINITY));
      }
    }
    const reference = best.get(REFERENCE) ?? 1;
    const cells = PLACES.map(({ path }) => {
      const ms = best.get(path) ?? 0;
      return `${(ms / 1000).toFixed(2)} s (${(ms / reference).toFixed(1)})`;
    });
    console.log(`| ${name} | ${cells.join(" | ")} |`);
  }
}

/** By the guest's clock, with nothing in its memory. */
async function time_ms(
  banger: Installation,
  work: { place: string; prepare: string; run: string },
): Promise<number> {
  const inside = (script: string) =>
    banger.ok(
      "vm",
      "exec",
      "m",
      "--",
      "sh",
      "-c",
      `set -e; mkdir -p ${work.place}; cd ${work.place}; ${script}`,
    );
  await inside(`(${work.prepare}) >/dev/null 2>&1; sync; echo 3 >/proc/sys/vm/drop_caches`);
  const clock = "awk '{ print $1 * 1000 }' /proc/uptime";
  const out = await inside(`${clock}; (${work.run}) >/dev/null 2>&1; ${clock}`);
  const [start = 0, end = 0] = out.trim().split("\n").map(Number);
  return end - start;
}
