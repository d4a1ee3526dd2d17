/**
 * The builder, on a source of a few files that is configured and compiled with the same commands
 * as Linux: what is tested is all around the compiler. Linux itself is compiled by
 * kernel-recipes.test.ts, which wants to be asked.
 */
import { afterEach, beforeEach, describe, expect } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { sha256 } from "#base/digest.ts";
import type { Progress } from "#base/progress.ts";
import { runOk } from "#base/run.ts";
import { type BuildOptions, buildKernel } from "#kernels/recipe/build.ts";
import { sweepScratch } from "#kernels/recipe/scratch.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { type FileServer, serveFiles } from "#test/file-server.ts";
import { testNeeding } from "#test/needs.ts";

const test = testNeeding("make", "gcc", "flex", "bison", "bc", "xz", "busybox");

let folder: string;
let server: FileServer;

beforeEach(async () => {
  folder = mkdtempSync("/tmp/banger-build-");
  mkdirSync(join(folder, "served"));
  server = await serveFiles(join(folder, "served"));
});

afterEach(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** `allnoconfig` takes the fragment as it is, but for what depends on something that is off. */
const MAKEFILE = `VERSION = 6
PATCHLEVEL = 12
SUBLEVEL = 7
allnoconfig:
	grep -v -e WANTS_MORE $(KCONFIG_ALLCONFIG) > $(O)/.config
olddefconfig:
	@true
vmlinux:
	@echo "$(KBUILD_BUILD_USER) $(KBUILD_BUILD_TIMESTAMP) $(ARCH)" > $(O)/stamp
	@env > $(O)/environment
	@for object in one two three; do echo "  CC      init/$$object.o"; done
	@echo "  HOSTCC  scripts/x"
	COMMANDS
`;
const KCONFIG = `config GOOD
	bool "good"
config WANTS_MORE
	bool "more"
	depends on GOOD && MISSING
config MISSING
	bool "missing"
	depends on ABSENT
`;

const KERNEL = `__attribute__((used)) const char banner[] = "Linux version 6.12.7-fixture (a@b) #1";
void _start(void) { for (;;); }
`;
const COMPILE = "gcc -nostdlib -static -o $(O)/vmlinux kernel.c";

async function makeSource(commands: string): Promise<string> {
  const tree = join(folder, "linux-6.12.7");
  mkdirSync(join(tree, "init"), { recursive: true });
  writeFileSync(join(tree, "Makefile"), MAKEFILE.replace("COMMANDS", commands));
  writeFileSync(join(tree, "Kconfig"), KCONFIG);
  writeFileSync(join(tree, "Kbuild"), "obj-y += init/\n");
  writeFileSync(join(tree, "init/Makefile"), "obj-y := one.o two.o three.o four.o\n");
  writeFileSync(join(tree, "kernel.c"), KERNEL);
  const archive = join(folder, "served/linux.tar.xz");
  await runOk(["tar", "-C", folder, "-cJf", archive, "linux-6.12.7"]);
  rmSync(tree, { recursive: true });
  return archive;
}

async function makeRecipe(
  options: { commands?: string; on?: string[]; version?: string } = {},
): Promise<string> {
  const { commands = COMPILE, on = ["GOOD"], version = "6.12" } = options;
  const bytes = readFileSync(await makeSource(commands));
  const path = join(folder, "tiny.toml");
  writeFileSync(
    path,
    `name = "tiny-6.12"
distro = "tiny"
version = "${version}"
description = "x"
arches = ["amd64", "arm64"]
features = []
on = ${JSON.stringify(on)}
[source]
url = "${server.url}/linux.tar.xz"
sha256 = "${sha256(bytes)}"
size_bytes = ${bytes.length}
`,
  );
  return path;
}

function options(more: Partial<BuildOptions> = {}): BuildOptions {
  return {
    dir: join(folder, "kernels"),
    builds: join(folder, "builds"),
    downloads: join(folder, "downloads"),
    ...more,
  };
}

const builds = (): string[] => readdirSync(join(folder, "builds")).sort();

describe("a build", () => {
  test("makes a bundle, reports its objects, and is not done twice", async () => {
    const recipe = await makeRecipe();
    const seen: Progress[] = [];
    const built = await buildKernel(recipe, options({ onProgress: (each) => seen.push(each) }));
    expect(built.bundle.manifest).toMatchObject({
      name: "tiny-6.12",
      version: "6.12.7-fixture",
      arch: "amd64",
      source: { kind: "recipe", recipe: "tiny-6.12", from: "linux.tar.xz" },
    });
    const compiling = seen.filter(({ step }) => step === "compile");
    expect(compiling.map(({ done, total }) => [done, total])).toEqual([
      [0, 4],
      [1, 4],
      [2, 4],
      [3, 4],
    ]);
    expect(seen.map(({ step }) => step)).toContain("download");
    expect(builds()).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/), "tiny-6.12-amd64.log"]);
    expect(readFileSync(join(folder, "builds/tiny-6.12-amd64.log"), "utf8")).toContain(
      "init/one.o",
    );

    expect((await buildKernel(recipe, options())).changed).toBe(false);
    rmSync(join(folder, "served/linux.tar.xz"));
    rmSync(join(folder, "downloads"), { recursive: true });
    rmSync(join(folder, "kernels"), { recursive: true });
    expect((await buildKernel(recipe, options())).changed).toBe(true);
    const forced = await bangerErrorOf(buildKernel(recipe, options({ force: true })));
    expect(forced.code).toBe("not_found");
  });

  test("is done again when the recipe or the source changed", async () => {
    const keyOf = async (recipe: string) => {
      const { changed, bundle } = await buildKernel(recipe, options());
      return { changed, source: bundle.manifest.source };
    };
    const first = await keyOf(await makeRecipe());
    const other = await keyOf(await makeRecipe({ on: ["GOOD", "BETTER"] }));
    const source = await keyOf(await makeRecipe({ commands: `true; ${COMPILE}` }));
    expect([first, other, source].map(({ changed }) => changed)).toEqual([true, true, true]);
    expect(
      new Set([first, other, source].map(({ source: each }) => JSON.stringify(each))).size,
    ).toBe(3);
  });

  test("sees nothing of the user's environment but what it is given", async () => {
    const commands =
      "cp $(O)/environment $(O)/stamp /tmp/ 2>/dev/null; gcc -nostdlib -static -o $(O)/vmlinux kernel.c";
    const path = await makeRecipe({ commands: commands.replace("/tmp/", `${folder}/`) });
    process.env["KCFLAGS"] = "-DFROM_THE_USER";
    try {
      await buildKernel(path, options());
    } finally {
      delete process.env["KCFLAGS"];
    }
    const environment = readFileSync(join(folder, "environment"), "utf8");
    expect(environment).not.toContain("FROM_THE_USER");
    expect(environment).toContain("LC_ALL=C");
    const stamp = readFileSync(join(folder, "stamp"), "utf8");
    expect(stamp).toBe("banger Thu Jan  1 00:00:00 UTC 1970 x86_64\n");
  });

  test("names the option that did not come out, and what it wants", async () => {
    const error = await bangerErrorOf(
      buildKernel(await makeRecipe({ on: ["GOOD", "WANTS_MORE", "NOWHERE"] }), options()),
    );
    expect(error.code).toBe("invalid_argument");
    expect(error.message).toContain("WANTS_MORE is off: it needs MISSING, which is off");
    expect(builds()).toEqual(["tiny-6.12-amd64.log"]);
  });

  test("says what the compiler said, keeps the log, and leaves nothing else", async () => {
    const commands = 'echo "init/two.c:1:2: error: no such thing" >&2; exit 1';
    const error = await bangerErrorOf(buildKernel(await makeRecipe({ commands }), options()));
    expect([error.code, error.message]).toEqual([
      "internal",
      expect.stringContaining("init/two.c:1:2: error: no such thing"),
    ]);
    expect(error.hint).toContain(join(folder, "builds/tiny-6.12-amd64.log"));
    expect(builds()).toEqual(["tiny-6.12-amd64.log"]);
    expect(existsSync(join(folder, "kernels"))).toBe(false);
  });

  test("of another version, or of no kernel, is refused", async () => {
    const version = await bangerErrorOf(
      buildKernel(await makeRecipe({ version: "6.1" }), options()),
    );
    expect([version.code, version.message]).toEqual([
      "integrity",
      expect.stringContaining("the source is Linux 6.12.7"),
    ]);
    const commands = "echo text > $(O)/vmlinux";
    expect((await bangerErrorOf(buildKernel(await makeRecipe({ commands }), options()))).code).toBe(
      "internal",
    );
    expect(builds()).toEqual(["tiny-6.12-amd64.log"]);
  });

  test("cancelled ends with every process that it started", async () => {
    // A compiler that starts another program and never ends.
    const mark = `4242${process.pid}`;
    const commands = `sh -c 'sleep ${mark} & sleep ${mark}'`;
    const abort = new AbortController();
    const onProgress = ({ done }: Progress): void => {
      if (done === 3) setTimeout(() => abort.abort(), 50);
    };
    const recipe = await makeRecipe({ commands });
    const work = buildKernel(recipe, options({ signal: abort.signal, onProgress }));
    expect((await bangerErrorOf(work)).code).toBe("cancelled");
    expect(processesWith(mark)).toEqual([]);
    expect(builds()).toEqual(["tiny-6.12-amd64.log"]);
  });
});

test("what a killed build left is swept, and what another one works in is not", async () => {
  const result = join(folder, "builds/x");
  const script = `
    import { makeScratch } from "#kernels/recipe/scratch.ts";
    makeScratch(${JSON.stringify(result)});
    console.log("made");
    setInterval(() => {}, 1000);
  `;
  const file = join(import.meta.dir, `.scratch-${process.pid}.ts`);
  writeFileSync(file, script);
  const other = Bun.spawn([process.execPath, file], { stdout: "pipe", stderr: "inherit" });
  try {
    await other.stdout.getReader().read();
    await sweepScratch(join(folder, "builds"));
    expect(builds()).toHaveLength(1);
    other.kill("SIGKILL");
    await other.exited;
    await sweepScratch(join(folder, "builds"));
    expect(builds()).toEqual([]);
  } finally {
    other.kill("SIGKILL");
    rmSync(file, { force: true });
  }
});

function processesWith(word: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid) || pid === String(process.pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(word);
    } catch {
      return false;
    }
  });
}
