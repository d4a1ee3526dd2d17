/** Images and package servers that would keep the host busy, or fill its memory or disk, before the first boot. */
import { afterAll, beforeAll, expect } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "#base/digest.ts";
import { runOk } from "#base/run.ts";
import { MiB } from "#base/size.ts";
import { planUnpacking } from "#images/packages/unpack.ts";
import { makeSigner, type Signer } from "#test/deb-repository.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { openTestStore, pullLayout, type TestStore } from "#test/image-store.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { testNeeding } from "#test/needs.ts";

const hostTest = testNeeding("apt-get", "gpgv", "gpg", "xz");

const STATUS =
  "Package: dpkg\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.21\n\n";
const ORDER = { wanted: [], unpack: [], configureFirst: [], isPlain: true };

const ONE = Buffer.from("\n");
const LISTS_MAX_BYTES = 16 * MiB;

let folder: string;
let signer: Signer;
let server: ReturnType<typeof Bun.serve>;
let store: TestStore;
let asked: string[] = [];
const { TMPDIR } = process.env;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "banger-hostile-"));
  // apt's own user reads what is in the temporary directory.
  chmodSync(folder, 0o755);
  process.env["TMPDIR"] = join(folder, "tmp");
  mkdirSync(tmpdir(), { mode: 0o755 });
  signer = await makeSigner(join(folder, "gnupg"));
  store = openTestStore();
  server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      asked.push(pathname);
      const file = Bun.file(join(folder, pathname));
      return (await file.exists()) ? new Response(file) : new Response("", { status: 404 });
    },
  });
});

afterAll(async () => {
  await server?.stop(true);
  store?.[Symbol.dispose]();
  if (TMPDIR === undefined) delete process.env["TMPDIR"];
  else process.env["TMPDIR"] = TMPDIR;
  rmSync(folder, { recursive: true, force: true });
});

/** What the host says of an image with these files. */
async function refusal(name: string, files: Record<string, string> = {}): Promise<string> {
  const trusted = [`127.0.0.1:${server.port}`];
  const own = {
    "var/lib/dpkg/status": STATUS,
    "etc/apt/sources.list": `deb http://${trusted[0]}/${name} test main\n`,
    "etc/apt/trusted.gpg.d/test.asc": signer.publicKey,
  };
  const { id } = await pullLayout(store, name, { ...own, ...files });
  const signal = AbortSignal.timeout(LIMIT_MS);
  const work = store.images.preparePackages(id, {
    signal,
    trusted,
    listsMax_bytes: LISTS_MAX_BYTES,
  });
  const { code, message } = await bangerErrorOf(work);
  expect(readdirSync(tmpdir()).filter((each) => each.startsWith("banger-packages-"))).toEqual([]);
  return `${code}: ${message}`;
}

/** A repository whose signed index has these lists. */
async function writeIndex(name: string, lists: Record<string, Uint8Array>): Promise<void> {
  const place = join(folder, name, "dists/test");
  const lines = Object.entries(lists).map(([path, bytes]) => {
    mkdirSync(join(place, path, ".."), { recursive: true });
    writeFileSync(join(place, path), bytes);
    return ` ${sha256(bytes).slice("sha256:".length)} ${bytes.length} ${path}\n`;
  });
  const date = new Date().toUTCString().replace("GMT", "+0000");
  const head = `Suite: test\nCodename: test\nArchitectures: amd64\nComponents: main\nDate: ${date}\n`;
  const text = `${head}SHA256:\n${lines.join("")}`;
  writeFileSync(join(place, "InRelease"), await signer.sign(text));
}

hostTest("a list that has no end when it is decompressed does not fill the disk", async () => {
  const text = join(folder, "Packages");
  writeFileSync(text, Buffer.alloc(LISTS_MAX_BYTES + 1, "\n"));
  await runOk(["xz", "-0", text]);
  const list = readFileSync(`${text}.xz`);
  // apt takes the list only if the index has it without compression too.
  const lists = { "main/binary-amd64/Packages.xz": list, "main/binary-amd64/Packages": ONE };
  await writeIndex("bomb", lists);
  rmSync(join(folder, "bomb/dists/test/main/binary-amd64/Packages"));
  expect(await refusal("bomb")).toBe("limit_exceeded: package lists too large");
});

hostTest("lists are not downloaded if they are too large together", async () => {
  const names = ["a", "b", "c", "d", "e"];
  const place = join(folder, "large", "dists/test");
  mkdirSync(place, { recursive: true });
  const lines = names.map((name) => {
    const hex = sha256(name).slice("sha256:".length);
    return ` ${hex} ${120 * MiB} ${name}/binary-amd64/Packages.xz\n`;
  });
  writeFileSync(join(place, "InRelease"), `SHA256:\n${lines.join("")}`);
  const line = `deb http://127.0.0.1:${server.port}/large test ${names.join(" ")}\n`;
  asked = [];
  const said = await refusal("large", { "etc/apt/sources.list": line });
  expect(said).toBe("limit_exceeded: package lists too large");
  expect(asked).toEqual(["/large/dists/test/InRelease"]);
});

hostTest("the sources of all files together are few", async () => {
  const line = `deb http://127.0.0.1:${server.port}/none test main\n`;
  const files = { "etc/apt/sources.list.d/a.list": line.repeat(40) };
  const all = { ...files, "etc/apt/sources.list.d/b.list": line.repeat(40) };
  expect(await refusal("many", all)).toBe("unsupported: more than 64 sources");
});

hostTest("a long list of packages is read in one go", async () => {
  const one = "Package: dpkg\n".repeat(1_000_000);
  const said = await refusal("stanza", { "var/lib/dpkg/status": one });
  expect(said).toMatch(/^unsupported: unknown architecture/);
  const blanks = `${STATUS}Package: a${" ".repeat(2_000_000)}b\n\n`;
  const utils = "Package: apt-utils\n".repeat(1_000_000);
  expect((await plan("blanks", { "var/lib/dpkg/status": blanks + utils })).count).toBe(0);
});

hostTest("configuration without end is left to the machine", async () => {
  const large = "\n".repeat(1.5 * MiB);
  const file = "etc/apt/apt.conf.d/a";
  expect((await plan("one-large", { [file]: large })).count).toBe(0);
  const both = { [file]: large, "etc/apt/apt.conf.d/b": large };
  expect((await bangerErrorOf(plan("two-large", both))).code).toBe("limit_exceeded");
});

/** What becomes of no package in an image with these files. */
async function plan(name: string, files: Record<string, string>) {
  const own = { "var/lib/dpkg/status": STATUS, "var/lib/dpkg/info/format": "1\n" };
  const { rootfs } = await pullLayout(store, name, { ...own, ...files });
  const signal = AbortSignal.timeout(LIMIT_MS);
  return planUnpacking(rootfs, [], { order: ORDER, signal });
}
