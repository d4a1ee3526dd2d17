/** What the host unpacks of packages for first boots, against the real dpkg, and what it leaves to the machine. */
import { afterAll, beforeAll, expect } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { runOk } from "#base/run.ts";
import { parseOrder } from "#images/packages/apt.ts";
import { unpackDeb } from "#images/packages/deb.ts";
import { type PlainDeb, planUnpacking, type UnpackedPackages } from "#images/packages/unpack.ts";
import { buildDeb, type Deb } from "#test/deb-repository.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { openTestStore, pullLayout, type TestStore } from "#test/image-store.ts";
import { testNeeding } from "#test/needs.ts";

const hostTest = testNeeding("root", "dpkg", "dpkg-deb", "xz");

const STATUS = `Package: dpkg
Status: install ok installed
Architecture: amd64
Version: 1.21.22
Maintainer: test
Description: test

`;
const DEBS: Deb[] = [
  {
    name: "libone",
    fields: ["Multi-Arch: same"],
    files: { "lib/libone.so": "one\n", "usr/share/seen/x": "x\n" },
    control: { triggers: "# comment\nactivate-noawait watched\nactivate other\n" },
  },
  {
    name: "two",
    fields: ["Depends: libone", "Homepage: https://example.com/\u00e9"],
    files: { "etc/two.conf": "a = b\n", "usr/bin/two": "two\n" },
    control: {
      conffiles: "/etc/two.conf\n",
      triggers: "interest /usr/share/two\ninterest-noawait named\n",
    },
  },
];
const ORDER = parseOrder(
  "Inst libone (1:1.0~a test [amd64])\nConf libone (1:1.0~a test [amd64])\nInst two (1:1.0~a test [amd64]) []\nConf two (1 x)\n",
);

let folder: string;
let store: TestStore;
let count = 0;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-unpack-"));
  store = openTestStore();
});

afterAll(() => {
  store?.[Symbol.dispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** An image's files, with merged directories as Debian has them. */
function imageFiles(more: Record<string, string> = {}): Record<string, string> {
  return {
    "var/lib/dpkg/status": STATUS,
    "var/lib/dpkg/arch": "amd64\n",
    "var/lib/dpkg/info/format": "1\n",
    "var/lib/dpkg/info/dpkg.list": "/.\n",
    "var/lib/dpkg/triggers/File": "/usr/share/seen dpkg/noawait\n",
    "var/lib/dpkg/triggers/watched": "dpkg/noawait\n",
    "usr/lib/present": "",
    ...more,
  };
}

/** With the checksums that almost every package has. */
function withSums(deb: Deb): Deb {
  const files = { [`usr/share/doc/${deb.name}/copyright`]: `of ${deb.name}\n`, ...deb.files };
  const lines = Object.entries(files).flatMap(([path, text]) => {
    const isConfiguration = deb.control?.["conffiles"]?.includes(path);
    return isConfiguration
      ? []
      : [`${new Bun.CryptoHasher("md5").update(text).digest("hex")}  ${path}\n`];
  });
  return { ...deb, control: { md5sums: lines.join(""), ...deb.control } };
}

async function plan(debs: Deb[], more: Record<string, string> = {}, order = ORDER) {
  const place = mkdtempSync(join(folder, "debs-"));
  const signal = AbortSignal.timeout(60_000);
  const plain: (PlainDeb & { built: string })[] = [];
  for (const deb of debs) {
    const built = await buildDeb(place, withSums(deb));
    const path = `${built}.plain`;
    plain.push({ path, built, stanza: (await unpackDeb(built, path, signal)).stanza });
  }
  const image = await pullLayout(store, `image-${++count}`, imageFiles(more));
  const unpacked = () => planUnpacking(image.rootfs, plain, { order, signal });
  return { unpacked, debs: plain.map(({ built }) => built) };
}

async function extract(target: string, archive: ReturnType<UnpackedPackages["tree"]>) {
  const parts: Uint8Array[] = [];
  for await (const chunk of archive) parts.push(chunk);
  await runOk(["tar", "-C", target, "-xpf", "-"], { stdin: Buffer.concat(parts) });
}

function writeRoot(name: string, files: Record<string, string>): string {
  const root = join(folder, name);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

/** Without the files that dpkg keeps for itself. */
function filesOf(root: string): Map<string, string> {
  const names = readdirSync(root, { recursive: true, withFileTypes: true });
  const files = names.filter((entry) => entry.isFile()).map((e) => join(e.parentPath, e.name));
  const kept = files.filter(
    (path) => !/\/(lock.*|Lock|available|status-old|dpkg\.log)$/.test(path),
  );
  return new Map(kept.map((path) => [path.slice(root.length), readFileSync(path, "utf8")]));
}

hostTest("is what dpkg itself unpacks", async () => {
  const { unpacked, debs } = await plan(DEBS);
  const [ours, theirs] = [writeRoot("ours", imageFiles()), writeRoot("theirs", imageFiles())];
  for (const root of [ours, theirs]) mkdirSync(join(root, "var/lib/dpkg/updates"));
  const { count: packages, tree } = unpacked();
  expect(packages).toBe(2);
  await extract(ours, tree());
  // The states of automatically installed packages are apt's.
  rmSync(join(ours, "var/lib/apt"), { recursive: true });
  const dpkg = ["dpkg", `--root=${theirs}`, "--force-depends", "--force-script-chrootless"];
  await runOk([...dpkg, "--log=/dev/null", "--no-triggers", "--unpack", ...debs]);
  // dpkg sorts the fields, and keeps what is not incorporated yet, when it next writes.
  for (const root of [ours, theirs]) {
    await runOk(["dpkg", `--root=${root}`, "--log=/dev/null", "--clear-avail"]);
    await runOk(["dpkg", `--root=${root}`, "--log=/dev/null", "--set-selections"], {
      stdin: "two install\n",
    });
  }
  expect(filesOf(ours)).toEqual(filesOf(theirs));
});

const LEFT: [why: RegExp, debs: Deb[], more: Record<string, string>][] = [
  [/\/usr\/bin\/two exists/, DEBS, { "usr/bin/two": "other" }],
  [
    /\/usr\/bin\/two is overridden/,
    DEBS,
    { "var/lib/dpkg/diversions": "/usr/bin/two\n/usr/bin/two.real\nx\n" },
  ],
  [
    /\/usr\/bin\/two is overridden/,
    DEBS,
    { "var/lib/dpkg/statoverride": "root root 4755 /usr/bin/two\n" },
  ],
  [
    /option of dpkg "path-exclude/,
    DEBS,
    { "etc/dpkg/dpkg.cfg.d/x": "path-exclude /usr/share/doc/*\n" },
  ],
  [/hooks of apt/, DEBS, { "etc/apt/apt.conf.d/x": 'DPkg::Pre-Install-Pkgs {"x";};\n' }],
  [
    /not fully installed/,
    DEBS,
    { "var/lib/dpkg/status": STATUS.replace("k installed", "k unpacked") },
  ],
  [/unfinished work/, DEBS, { "var/lib/dpkg/updates/0000": "Package: x\n" }],
  [/format of/, DEBS, { "var/lib/dpkg/info/format": "0\n" }],
  [
    /two was installed before/,
    DEBS,
    {
      "var/lib/dpkg/status": `${STATUS}${STATUS.replace(": dpkg", ": two").replace("install ok installed", "deinstall ok config-files")}`,
    },
  ],
  [/libone.so exists/, [...DEBS.slice(0, 1), { name: "two", files: { "lib/libone.so": "2" } }], {}],
  [/two is for i386/, [...DEBS.slice(0, 1), { name: "two", fields: ["Architecture: i386"] }], {}],
];

hostTest("is left to the machine where dpkg has more to do", async () => {
  for (const [why, debs, more] of LEFT) {
    const { unpacked } = await plan(debs, more);
    const error = await bangerErrorOf((async () => unpacked())());
    expect(error.code).toBe("unsupported");
    expect(error.message).toMatch(why);
  }
  for (const line of ["Remv x [1]", "Inst two [1] (2 x)"]) {
    const { unpacked } = await plan(
      DEBS,
      {},
      parseOrder(`Inst libone (1 x)\nInst two (1 x)\n${line}\n`),
    );
    expect((await bangerErrorOf((async () => unpacked())())).message).toMatch(/replaced/);
  }
});

hostTest("reads the order, and what apt configures before the last package", () => {
  expect(ORDER).toMatchObject({
    unpack: ["libone", "two"],
    configureFirst: ["libone"],
    isPlain: true,
  });
});
