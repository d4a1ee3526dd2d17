/** The packages that the host prepares for first boots, with the real apt and a signed repository. */
import { afterAll, beforeAll, beforeEach, expect } from "bun:test";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { identify } from "#base/process-identity.ts";
import { runOk } from "#base/run.ts";
import { sweepScratch } from "#images/packages/scratch.ts";
import { type Deb, makeSigner, type Signer, writeRepository } from "#test/deb-repository.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { openTestStore, pullLayout, type TestStore } from "#test/image-store.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { testNeeding } from "#test/needs.ts";

const hostTest = testNeeding("apt-get", "gpgv", "gpg", "dpkg-deb", "xz", "zstd");

const STATUS = `Package: dpkg
Status: install ok installed
Architecture: amd64
Version: 1.21
Maintainer: test
Description: test

`;
const DEBS: Deb[] = [
  { name: "systemd", fields: ["Depends: libneeded"], files: { "usr/lib/systemd/systemd": "s\n" } },
  { name: "systemd-sysv", compression: "gzip" },
  { name: "udev", compression: "zstd" },
  { name: "dbus", compression: "none", postinst: "echo of the image >&2" },
  { name: "openssh-server", fields: ["Recommends: unwanted"] },
  { name: "iproute2", fields: ["Architecture: all"] },
  { name: "libneeded" },
  { name: "unwanted" },
];

let folder: string;
let signer: Signer;
let server: ReturnType<typeof Bun.serve>;
let store: TestStore;
/** Paths that the server was asked for. */
let asked: string[];
/** In place of files of the repository. */
let instead: (path: string) => Response | undefined;
const { TMPDIR } = process.env;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "banger-repository-"));
  // apt's own user reads what is in the temporary directory.
  chmodSync(folder, 0o755);
  process.env["TMPDIR"] = join(folder, "tmp");
  mkdirSync(tmpdir(), { mode: 0o755 });
  signer = await makeSigner(join(folder, "gnupg"));
  await writeRepository(join(folder, "repo"), DEBS, { signer });
  server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      const path = decodeURIComponent(new URL(request.url).pathname);
      asked.push(path);
      const file = Bun.file(join(folder, path));
      return instead(path) ?? file.exists().then((is) => (is ? new Response(file) : missing()));
    },
  });
});

beforeEach(() => {
  asked = [];
  instead = () => undefined;
  store = openTestStore();
  return () => store[Symbol.dispose]();
});

afterAll(async () => {
  await server?.stop(true);
  if (TMPDIR === undefined) delete process.env["TMPDIR"];
  else process.env["TMPDIR"] = TMPDIR;
  rmSync(folder, { recursive: true, force: true });
});

function missing(): Response {
  return new Response("", { status: 404 });
}

const host = () => `127.0.0.1:${server.port}`;
const source = (repo = "repo") => `deb http://${host()}/${repo} test main\n`;

/** An image of that name; `files` beside its list of installed packages, its sources and the key it trusts. */
async function image(name: string, files: Record<string, string> = {}): Promise<string> {
  const own = {
    "var/lib/dpkg/status": STATUS,
    "etc/apt/sources.list": source(),
    "etc/apt/trusted.gpg.d/test.asc": signer.publicKey,
  };
  return (await pullLayout(store, name, { ...own, ...files })).id;
}

function prepare(id: string, trusted = [host()]) {
  return store.images.preparePackages(id, { signal: AbortSignal.timeout(60_000), trusted });
}

/** What is refused for, with nothing left in the temporary directory. */
async function refusal(id: string, trusted = [host()]): Promise<string> {
  const before = scratches();
  const { code, message } = await bangerErrorOf(prepare(id, trusted));
  expect(scratches()).toEqual(before);
  return `${code}: ${message}`;
}

const scratches = () => readdirSync(tmpdir()).filter((name) => name.startsWith("banger-packages-"));

hostTest(
  "are those that the image lacks, without compression, and with the list of them",
  async () => {
    const target = mkdtempSync(join(folder, "out-"));
    {
      using repository = await prepare(await image("base"));
      const parts: Uint8Array[] = [];
      for await (const chunk of repository.tar()) parts.push(chunk);
      await runOk(["tar", "-C", target, "-xf", "-"], { stdin: Buffer.concat(parts) });
      expect(repository.count).toBe(7);
    }
    expect(scratches()).toEqual([]);
    const list = readFileSync(join(target, "Packages"), "utf8");
    const names = [...list.matchAll(/^Package: (.*)$/gm)].map(([, name = ""]) => name);
    const wanted = DEBS.map(({ name }) => name).filter((name) => name !== "unwanted");
    expect(names.sort()).toEqual(wanted.sort());
    for (const name of names) {
      const file = new RegExp(`^Package: ${name}\\n[^]*?^Filename: \\./(.*)$`, "m").exec(list)?.[1];
      expect(file).toStartWith("cache/archives/");
      const deb = join(target, file ?? "");
      const members = await runOk(["ar", "t", deb]);
      expect(members.trim().split("\n")).toEqual(["debian-binary", "control.tar", "data.tar"]);
      const original = join(folder, "repo/pool", `${name}_1.0~a_amd64.deb`);
      for (const part of ["--ctrl-tarfile", "--fsys-tarfile"]) {
        const [ours, theirs] = [
          await runOk(["dpkg-deb", part, deb]),
          await runOk(["dpkg-deb", part, original]),
        ];
        expect(ours).toBe(theirs);
      }
    }
  },
);

hostTest("are downloaded once for all images", async () => {
  (await prepare(await image("first")))[Symbol.dispose]();
  expect(asked.filter((path) => path.endsWith(".deb"))).toHaveLength(7);
  asked = [];
  const installed = STATUS.replaceAll(": dpkg", ": libneeded").replace("1.21", "1:1.0~a");
  using fewer = await prepare(await image("second", { "var/lib/dpkg/status": STATUS + installed }));
  expect(fewer.count).toBe(6);
  expect(asked).toEqual(["/repo/dists/test/InRelease"]);
});

hostTest("come by a redirect, and by sources of either kind with a key of their own", async () => {
  instead = (path) =>
    path.startsWith("/moved/")
      ? Response.redirect(`http://${host()}/repo/${path.slice(7)}`)
      : undefined;
  const key = signer.publicKey
    .trimEnd()
    .split("\n")
    .map((line) => ` ${line || "."}`)
    .join("\n");
  const id = await image("deb822", {
    "etc/apt/sources.list": `# nothing\ndeb-src ${source().slice(4)}`,
    "etc/apt/sources.list.d/a.sources": `Types: deb\nURIs: http://${host()}/moved/\nSuites: test\nComponents: main\nSigned-By:\n${key}\n`,
    "etc/apt/sources.list.d/off.sources":
      "Types: deb\nEnabled: no\nURIs: http://127.0.0.1:1/\nSuites: x\nComponents: y\n",
    "etc/apt/sources.list.d/b.list": `deb [arch=amd64 signed-by=/usr/share/keyrings/test.asc] http://${host()}/repo test main\n`,
    "etc/apt/trusted.gpg.d/test.asc": "",
    "usr/share/keyrings/test.asc": signer.publicKey,
  });
  using repository = await prepare(id);
  expect(repository.count).toBe(7);
});

hostTest("are refused without a valid signature", async () => {
  const stranger = await makeSigner(join(folder, "stranger"));
  const other = await image("stranger", { "etc/apt/trusted.gpg.d/test.asc": stranger.publicKey });
  expect(await refusal(other)).toMatch(/^integrity: apt: .*(NO_PUBKEY|not signed)/);
  const old = await makeSigner(join(folder, "old"), { isExpired: true });
  await writeRepository(join(folder, "old-repo"), DEBS, { signer: old });
  const expired = await image("expired", {
    "etc/apt/sources.list": source("old-repo"),
    "etc/apt/trusted.gpg.d/test.asc": old.publicKey,
  });
  expect(await refusal(expired)).toMatch(/^integrity: apt: .*(EXPKEYSIG|not signed)/);
  const inRelease = readFileSync(join(folder, "repo/dists/test/InRelease"), "utf8");
  instead = (path) =>
    path.endsWith("/InRelease")
      ? new Response(inRelease.replace("Origin: test", "Origin: more"))
      : undefined;
  expect(await refusal(await image("changed"))).toMatch(/^integrity: apt: /);
  instead = (path) => (path.endsWith("InRelease") ? missing() : undefined);
  expect(await refusal(await image("unsigned"))).toStartWith("not_found: no signed index");
});

hostTest("are refused when they, or their list, are others than the signed ones", async () => {
  instead = (path) => (path.endsWith("/Packages") ? new Response("x") : undefined);
  expect(await refusal(await image("list"))).toStartWith("integrity: ");
  instead = (path) => (path.includes("/udev_") ? new Response("x".repeat(1000)) : undefined);
  expect(await refusal(await image("package"))).toStartWith("integrity: ");
  instead = (path) => (path.includes("/udev_") ? missing() : undefined);
  expect(await refusal(await image("gone"))).toStartWith("not_found: ");
});

hostTest(
  "are refused when the mirror goes away half way, and fetched when it comes back",
  async () => {
    let requests = 0;
    instead = (path) => {
      if (!path.includes("/udev_")) return undefined;
      // Less than its list says, and then nothing.
      const first = readFileSync(join(folder, path)).subarray(0, 100);
      return requests++ === 0 ? new Response(first) : new Response("", { status: 503 });
    };
    const id = await image("half");
    expect(await refusal(id)).toMatch(/^(unavailable|integrity): /);
    expect(requests).toBeGreaterThan(0);
    instead = () => undefined;
    using repository = await prepare(id);
    expect(repository.count).toBe(7);
  },
);

hostTest(
  "are given up soon when the mirror stalls half way, and fetched when it goes on",
  async () => {
    let stalls = 0;
    const stall = (path: string): Response => {
      stalls++;
      const bytes = readFileSync(join(folder, path));
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(bytes.subarray(0, bytes.length / 2)),
      });
      return new Response(body, { headers: { "content-length": String(bytes.length) } });
    };
    const prepareWithin = (id: string, stallTimeout_ms: number) =>
      store.images.preparePackages(id, {
        signal: AbortSignal.timeout(LIMIT_MS),
        trusted: [host()],
        stallTimeout_ms,
      });
    for (const [name, part] of [
      ["slow-index", "/InRelease"],
      ["slow-list", "/Packages"],
      ["slow-package", "/udev_"],
    ] as const) {
      instead = (path) => (path.includes(part) ? stall(path) : undefined);
      stalls = 0;
      const { code, message } = await bangerErrorOf(prepareWithin(await image(name), 500));
      expect([name, code, message]).toEqual([
        name,
        "timeout",
        `Cannot read from "${host()}": no data received for 500ms`,
      ]);
      // On a busy host another request may count as one.
      expect([1, 2]).toContain(stalls);
      expect(scratches()).toEqual([]);
    }
    stalls = 0;
    instead = (path) => (path.includes("/udev_") && stalls === 0 ? stall(path) : undefined);
    using repository = await prepareWithin(await image("once"), 5000);
    expect(repository.count).toBe(7);
  },
);

hostTest("are left to the guest at once where the host has no network", async () => {
  const closed = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("") });
  const place = `127.0.0.1:${closed.port}`;
  await closed.stop(true);
  const off = await image("off", { "etc/apt/sources.list": `deb http://${place}/ test main\n` });
  expect(await refusal(off, [place])).toBe(
    `unavailable: Cannot reach "${place}": connection refused`,
  );
  const unknown = await image("unknown", {
    "etc/apt/sources.list": "deb http://mirror.invalid/ test main\n",
  });
  expect(await refusal(unknown)).toStartWith('unavailable: Cannot reach "mirror.invalid"');
});

hostTest("of an expired index only if the source allows it, as for snapshots", async () => {
  const head = ["Valid-Until: Wed, 01 Jan 2020 00:00:00 +0000"];
  await writeRepository(join(folder, "snapshot"), DEBS, { signer, head });
  const files = { "etc/apt/sources.list": source("snapshot") };
  expect(await refusal(await image("expired-index", files))).toMatch(/^integrity: .*expired/);
  const allowed = source("snapshot").replace("deb ", "deb [check-valid-until=no] ");
  using repository = await prepare(await image("snapshot", { "etc/apt/sources.list": allowed }));
  expect(repository.count).toBe(7);
});

hostTest(
  "cannot be resolved around broken packages, and regard pins and other architectures",
  async () => {
    const half = `Package: libneeded\nStatus: hold ok half-installed\nArchitecture: amd64\nVersion: 1\nMaintainer: t\nDescription: t\n\n`;
    expect(
      await refusal(await image("broken", { "var/lib/dpkg/status": STATUS + half })),
    ).toStartWith("integrity: apt: ");
    const pin = "Package: libneeded\nPin: version *\nPin-Priority: -1\n";
    expect(await refusal(await image("pinned", { "etc/apt/preferences.d/no": pin }))).toMatch(
      /^integrity: apt: /,
    );
    using repository = await prepare(
      await image("foreign", { "var/lib/dpkg/arch": "amd64\ni386\n" }),
    );
    expect(repository.count).toBe(7);
  },
);

const CLOSED = [
  "127.0.0.1:1",
  "localhost:1",
  "[::1]:1",
  "169.254.169.254",
  "[fe80::1]",
  "0.0.0.0",
  "168.63.129.16",
];
hostTest("are not fetched from the host itself or a link-local server", async () => {
  for (const [index, place] of CLOSED.entries()) {
    const id = await image(`closed-${index}`, {
      "etc/apt/sources.list": `deb http://${place}/ test main\n`,
    });
    expect([place, await refusal(id)]).toEqual([
      place,
      expect.stringMatching(/^permission_denied: /),
    ]);
  }
  // Whoever is trusted is not trusted to lead there.
  instead = () => Response.redirect("http://127.0.0.1:1/");
  expect(await refusal(await image("redirected"))).toMatch(
    /^unavailable: .*redirects to "127.0.0.1:1"/,
  );
});

const FOREIGN = [
  "deb file:/etc test main",
  "deb copy:/etc test main",
  "deb cdrom:[x]/ test main",
  "deb mirror+file:/etc/hosts test main",
  "deb ftp://192.0.2.1/ test main",
  "deb http://u:p@192.0.2.1/ test main",
  "deb http://192.0.2.1/ ../../x main",
  "deb http://192.0.2.1/ test ../x",
  "deb http://192.0.2.1/ test",
  "deb [trusted=yes] http://192.0.2.1/ test main",
  "deb [allow-insecure=yes] http://192.0.2.1/ test main",
  "deb [signed-by=0123456789ABCDEF] http://192.0.2.1/ test main",
  "deb [signed-by=/no/such.gpg] http://192.0.2.1/ test main",
  "deb [arch=$(id)] http://192.0.2.1/ test main",
  "rpm http://192.0.2.1/ test main",
  "",
];
hostTest("are left to the guest where a source is none that the host can use", async () => {
  for (const [index, line] of FOREIGN.entries()) {
    const id = await image(`foreign-${index}`, { "etc/apt/sources.list": `${line}\n` });
    expect([line, await refusal(id)]).toEqual([line, expect.stringMatching(/^unsupported: /)]);
  }
  expect(asked).toEqual([]);
});

hostTest("are resolved by nothing of the image's own configuration of apt", async () => {
  const marks = mkdtempSync(join(folder, "marks-"));
  const hook = `APT::Update::Pre-Invoke {"touch ${marks}/ran";};\nDPkg::Pre-Install-Pkgs {"touch ${marks}/ran";};\nAcquire::http::Proxy "http://192.0.2.1:1/";\nDir::Bin::methods "${marks}";\n`;
  mkdirSync(marks, { recursive: true });
  using repository = await prepare(
    await image("hooks", { "etc/apt/apt.conf": hook, "etc/apt/apt.conf.d/x": hook }),
  );
  expect([repository.count, readdirSync(marks)]).toEqual([7, []]);
});

hostTest("end soon when nobody waits for them any more, and leave nothing", async () => {
  const stop = new AbortController();
  instead = (path) => {
    if (path.includes("/udev_")) stop.abort();
    return undefined;
  };
  const id = await image("cancelled");
  const options = { signal: stop.signal, trusted: [host()] };
  expect((await bangerErrorOf(store.images.preparePackages(id, options))).code).toBe("cancelled");
  expect(scratches()).toEqual([]);
});

testNeeding("root")("of a daemon that was killed are removed by the next one", () => {
  const { pid, startTime_ticks } = identify(process.pid) ?? { pid: 0, startTime_ticks: 0 };
  const place = mkdtempSync(join(folder, "swept-"));
  const names = [`${pid}-${startTime_ticks}-a`, `${pid}-${startTime_ticks - 1}-b`, "4194305-1-c"];
  for (const name of ["other", "olderF", ...names])
    mkdirSync(join(place, `banger-packages-${name}/mirror/0`), { recursive: true });
  // An earlier version did not put its process into the name.
  const before_s = Date.now() / 1000 - 86_400;
  utimesSync(join(place, "banger-packages-olderF"), before_s, before_s);
  const stranger = "banger-packages-4194305-1-d";
  mkdirSync(join(place, stranger));
  chownSync(join(place, stranger), 65_534, 65_534);
  symlinkSync(join(place, "banger-packages-other"), join(place, "banger-packages-4194305-1-e"));
  const swept = sweepScratch(place).map((path) => path.slice(-1));
  expect(swept.sort()).toEqual(["F", "b", "c"]);
  expect(
    readdirSync(place)
      .map((name) => name.slice(-1))
      .sort(),
  ).toEqual(["a", "d", "e", "r"]);
});
