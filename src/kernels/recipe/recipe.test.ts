import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { BangerError } from "#base/error.ts";
import { featuresOf } from "#kernels/features.ts";
import { ROOT } from "#test/tree.ts";
import { explainDisabled, readOptions } from "./kconfig.ts";
import { conjuncts, isTrue } from "./kconfig-expr.ts";
import { countObjects } from "./objects.ts";
import { choicesOf, compareVersions, fragmentOf, loadRecipe, recipeNames } from "./recipe.ts";
import { makeScratch, sweepScratch } from "./scratch.ts";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-recipe-"));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function put(path: string, text: string): string {
  const full = join(folder, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, text);
  return full;
}

const HEAD = `name = "mine-6.12"
distro = "mine"
version = "6.12"
description = "x"
arches = ["amd64"]
`;
const TAIL = `
[source]
package = "linux-source-6.12"
`;

function failureOf(load: () => unknown): BangerError {
  try {
    load();
  } catch (error) {
    if (error instanceof BangerError) return error;
    throw error;
  }
  throw new Error("nothing was wrong with it");
}

describe("the recipes of the program", () => {
  test("are the files in recipes/kernels, and each is sound for each of its architectures", () => {
    const files = readdirSync(join(ROOT, "recipes/kernels")).filter((name) => /toml$/.test(name));
    expect(recipeNames()).toEqual(files.map((name) => name.replace(".toml", "")).sort());
    for (const name of recipeNames()) {
      const recipe = loadRecipe(name);
      expect(recipe.name).toBe(name);
      for (const arch of recipe.arches) {
        const { on, off } = choicesOf(recipe, arch);
        expect(on.filter((option) => off.includes(option))).toEqual([]);
        expect(on).toEqual(expect.arrayContaining(["VIRTIO_MMIO", "DEVTMPFS_MOUNT", "IP_PNP"]));
        expect(off).toContain("MODULES");
      }
    }
  });

  test("have features that a recipe can take all together", () => {
    const files = readdirSync(join(ROOT, "recipes/kernels/features"));
    const features = files.map((file) => file.replace(".toml", ""));
    const path = put("all.toml", `${HEAD}features = ${JSON.stringify(features)}\n${TAIL}`);
    const config = fragmentOf(choicesOf(loadRecipe(path), "amd64"));
    const names = featuresOf(config).map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(["9p", "ipvs", "squashfs", "verity"]));
  });

  test("give a generic kernel what machines and containers need", () => {
    const config = fragmentOf(choicesOf(loadRecipe("generic-6.12"), "amd64"));
    const names = featuresOf(config).map(({ name }) => name);
    const needed =
      "balloon bpf bridge btrfs cgroups containers erofs ext4 fuse ip-pnp iptables-nft nftables overlay pvh rng seccomp serial tun veth virtio-blk virtio-console virtio-mmio virtio-net virtio-pci vsock wireguard xfs";
    expect(names).toEqual(expect.arrayContaining(needed.split(" ")));
  });
});

describe("a recipe", () => {
  test("is a file, with features of the program and of its own", () => {
    put("features/extra.toml", 'about = "x"\non = ["EXTRA"]\n[set]\nSIZE = "0x10"\nTEXT = "a b"\n');
    const path = put(
      "mine.toml",
      `${HEAD}localversion = "-mine"
features = ["overlay", "extra"]
on = ["OWN"]
off = ["OVERLAY_FS"]
${TAIL}
[[only]]
since = "6.10"
on = ["NEW"]
[[only]]
before = "6.10"
on = ["OLD"]
[[only]]
arch = "arm64"
on = ["ARM"]
[[only]]
arch = "amd64"
before = "7.0"
off = ["X"]
`,
    );
    const choices = choicesOf(loadRecipe(path), "amd64");
    expect(choices.on).toEqual(["EXTRA", "NEW", "OWN"]);
    expect(choices.off).toEqual(["OVERLAY_FS", "X"]);
    expect(fragmentOf(choices)).toBe(`CONFIG_EXTRA=y
CONFIG_NEW=y
CONFIG_OWN=y
# CONFIG_OVERLAY_FS is not set
# CONFIG_X is not set
CONFIG_SIZE=0x10
CONFIG_TEXT="a b"
CONFIG_LOCALVERSION="-mine"
`);
    expect(failureOf(() => choicesOf(loadRecipe(path), "arm64")).code).toBe("unsupported");
  });

  test("that is wrong is refused with what is wrong", () => {
    for (const [text, why] of [
      [`${HEAD}features = [`, "Cannot read recipe"],
      [`${HEAD}features = ["overly"]${TAIL}`, 'unknown kernel feature "overly"'],
      [`${HEAD}features = []\nextra = 1${TAIL}`, "extra"],
      [`${HEAD}features = []\non = ["a b"]${TAIL}`, "on.0"],
      [`${HEAD}features = []`, "source"],
      [`${HEAD}features = []\n[set]\nA = "x\\"y"${TAIL}`, "set.A"],
      [
        `${HEAD}features = []\n[source]\nurl = "https://x/y"\nsha256 = "z"\nsize_bytes = 1`,
        "source",
      ],
    ] as const) {
      const path = put("bad.toml", text);
      expect(failureOf(() => loadRecipe(path)).message).toContain(why);
    }
    const slip = failureOf(() => loadRecipe("generic-6.21"));
    expect([slip.code, slip.hint]).toEqual(["not_found", expect.stringContaining('"generic-6.1')]);
    expect(failureOf(() => loadRecipe("/nowhere/x.toml")).code).toBe("not_found");
  });

  test("compares versions by their numbers", () => {
    expect(compareVersions("6.9", "6.12")).toBeLessThan(0);
    expect(compareVersions("7.0", "6.12")).toBeGreaterThan(0);
    expect(compareVersions("6.12", "6.12")).toBe(0);
  });
});

describe("Kconfig", () => {
  const config = new Map(Object.entries({ A: "y", M: "m", TEXT: '"x"', NUMBER: "120000" }));
  const lookUp = (name: string): string | undefined => config.get(name);

  test("conditions hold as the kernel's own program has it", () => {
    for (const [condition, expected] of [
      ["A", true],
      ["B", false],
      ["M", true],
      ["!B && (A || B)", true],
      ["!(A && M)", false],
      ["B || A && B", false],
      ["A = y && B = n", true],
      ['TEXT = "x" && TEXT != "y"', true],
      ["NUMBER >= 110000 && NUMBER < 130000", true],
      ["$(cc-option,-fx) && A", true],
      ["m", true],
    ] as const) {
      expect([condition, isTrue(condition, lookUp)]).toEqual([condition, expected]);
    }
    expect(conjuncts("A && (B || C) && (D && !E)")).toEqual(["A", "B || C", "D", "! E"]);
    expect(conjuncts("A || B && C")).toEqual(["A || B && C"]);
  });

  test("conditions never fail, whatever they are", () => {
    const word = fc.constantFrom("A", "B", "(", ")", "&&", "||", "!", "=", '"x"', "$(f,g)", "\\");
    fc.assert(
      fc.property(fc.array(word, { maxLength: 200 }), (words) => {
        expect(typeof isTrue(words.join(" "), lookUp)).toBe("boolean");
        conjuncts(words.join(" "));
      }),
    );
  });

  test("says why an option is off", () => {
    put(
      "tree/Kconfig",
      `mainmenu "x"
source "arch/$(SRCARCH)/Kconfig"
config A
	bool "a"
	help
	  config NOT_AN_OPTION
	    depends on NOTHING
if A
menu "m"
	depends on B
config C
	tristate "c"
	depends on A && \\
		(D || E)
endmenu
endif
config HIDDEN
	bool
config EXPERTS
	bool "e" if EXPERT
config CHOSEN
	bool "f"
`,
    );
    put("tree/arch/x86/Kconfig", 'config B\n\tbool "b"\n\nconfig D\n\tbool "d"\n');
    const table = readOptions(join(folder, "tree"), "x86");
    expect([...table.keys()].sort()).toEqual("A B C CHOSEN D EXPERTS HIDDEN".split(" "));
    const why = (option: string): string => explainDisabled(option, table, lookUp);
    expect(why("C")).toBe('it needs B, which is off and "D || E"');
    expect(why("NOT_AN_OPTION")).toBe("no such option in this kernel");
    expect(why("HIDDEN")).toContain("only be selected by another");
    expect(why("EXPERTS")).toContain("only if EXPERT");
    expect(why("CHOSEN")).toContain("it conflicts with");
  });
});

test("objects are counted as the makefiles list them", () => {
  put("objects/Kbuild", "obj-y += init/ kernel/\nobj-$(CONFIG_NET) += net/\n");
  put("objects/init/Makefile", "obj-y := main.o \\\n\tversion.o\n# obj-y += no.o\n");
  put(
    "objects/kernel/Makefile",
    `obj-y += fork.o sched/
obj-$(CONFIG_A) += a.o
obj-$(CONFIG_OFF) += off.o
many-y := one.o two.o
many-$(CONFIG_A) += three.o
obj-y += many.o
ifdef CONFIG_A
obj-y += defined.o
else
obj-y += undefined.o
endif
ifeq ($(CONFIG_A),y)
obj-y += equal.o
endif
`,
  );
  put("objects/kernel/sched/Makefile", "obj-y += core.o\n");
  put("objects/net/Makefile", "obj-y += socket.o\n");
  put("objects/lib/Makefile", "lib-y := string.o\n");
  const lookUp = (name: string): string | undefined => (name === "A" ? "y" : undefined);
  const tree = join(folder, "objects");
  // main version, fork core a one two three defined equal, string
  expect(countObjects({ tree, srcArch: "x86", lookUp })).toBe(11);
});

test("a build below a home whose name make does not take is done elsewhere, and leaves nothing there", async () => {
  const plain = makeScratch(join(folder, "builds", "result"));
  expect(dirname(plain.path)).toBe(join(folder, "builds"));
  await plain[Symbol.asyncDispose]();
  for (const home of ["John Doe", "a:b", "o'brien", "josé"]) {
    const scratch = makeScratch(join(folder, home, "result"));
    expect(scratch.path).toMatch(/^[\w/.-]+$/);
    // Somebody works in it.
    await sweepScratch(join(folder, home));
    expect(readdirSync(scratch.path)).toEqual(["lock"]);
    await scratch[Symbol.asyncDispose]();
    expect(existsSync(scratch.path)).toBe(false);
  }
});
