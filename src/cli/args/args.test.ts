import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import { GiB, MiB } from "#base/size.ts";
import { commandAt } from "#cli/program.ts";
import { archOf } from "./arch.ts";
import { archivePath } from "./archive.ts";
import { readEnvironment } from "./env.ts";
import { withFlagName } from "./flag-names.ts";
import { labelsOf } from "./labels.ts";
import { limitsOf } from "./limits.ts";
import { nameOf, optionalNameOf, slugOf } from "./name.ts";
import { bandwidthArg, countArg, diskArg, durationArg, memoryArg } from "./numbers.ts";
import { absoluteReference } from "./reference.ts";

const folder = mkdtempSync(join(tmpdir(), "banger-args-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("sizes without a unit count what a person means", () => {
  expect(memoryArg("512")).toBe(512);
  expect(memoryArg("512M")).toBe(512);
  expect(memoryArg("2G")).toBe(2048);
  expect(diskArg("10")).toBe(10 * GiB);
  expect(diskArg("512MiB")).toBe(512 * MiB);
  expect(() => memoryArg("-1")).toThrow("invalid size");
});

test("the name of an image is made of a directory's or a package's", () => {
  expect(slugOf("My App")).toBe("my-app");
  expect(slugOf("-@openai/codex")).toBe("openai-codex");
  expect(slugOf("site.v2_")).toBe("site.v2");
  expect(slugOf("…")).toBe("");
});

test("an archive is a file, not a standard stream", () => {
  expect(archivePath("/a/b.tar")).toBe("/a/b.tar");
  expect(archivePath("./-")).toEndWith("/-");
  expect(() => archivePath("-")).toThrow("standard input and output");
});

test("counts are whole numbers, durations have units", () => {
  expect(countArg("4")).toBe(4);
  for (const text of ["", "1.5", "-1", "4x", "1e3"]) expect(() => countArg(text)).toThrow();
  expect(durationArg("1m30s")).toBe(90_000);
  expect(durationArg("5")).toBe(5_000);
});

test("readEnvironment() takes pairs, names of one's own and files", () => {
  const file = join(folder, "env");
  writeFileSync(file, "# comment\nFROM_FILE=1\r\nBOTH=file\n\nWITH=a=b c\n");
  expect(readEnvironment({ env: ["BOTH=flag", "EMPTY=", "HOME"], envFile: [file] })).toEqual({
    FROM_FILE: "1",
    BOTH: "flag",
    WITH: "a=b c",
    EMPTY: "",
    HOME: process.env["HOME"] ?? "",
  });
  expect(readEnvironment({ env: ["SURELY_NOT_SET_ANYWHERE"], envFile: [] })).toBeUndefined();
  expect(readEnvironment({ env: [], envFile: [] })).toBeUndefined();
  expect(() => readEnvironment({ env: ["=x"], envFile: [] })).toThrow(
    '"" is not a valid variable name',
  );
  expect(readEnvironment({ env: ["discovery.type=single-node"], envFile: [] })).toEqual({
    "discovery.type": "single-node",
  });
  expect(() => readEnvironment({ env: [], envFile: ["/dev/zero"] })).toThrow("larger than 4.0 MiB");
  expect(() => readEnvironment({ env: [], envFile: [join(folder, "none")] })).toThrow(
    "Cannot read",
  );
});

test("absoluteReference() completes the paths of files, and leaves registries alone", () => {
  expect(absoluteReference("oci:dir:tag", "/home/me")).toBe("oci:/home/me/dir:tag");
  expect(absoluteReference("oci:/dir", "/home/me")).toBe("oci:/dir");
  expect(absoluteReference("docker-archive:../a.tar", "/home/me")).toBe(
    "docker-archive:/home/a.tar",
  );
  expect(absoluteReference("oci-archive:./a.tar", "/x")).toBe("oci-archive:/x/a.tar");
  for (const text of ["debian:bookworm", "127.0.0.1:5000/oci:latest", "oci"]) {
    expect(absoluteReference(text, "/home/me")).toBe(text);
  }
});

test("a name is given as an argument or with --name", () => {
  expect(nameOf("a", undefined, "hint")).toBe("a");
  expect(nameOf(undefined, "a", "hint")).toBe("a");
  expect(optionalNameOf("a", "a")).toBe("a");
  expect(optionalNameOf(undefined, undefined)).toBeUndefined();
  expect(() => nameOf(undefined, undefined, "hint")).toThrow("missing argument");
  expect(() => optionalNameOf("a", "b")).toThrow("conflicting names");
});

test("architectures have two spellings each", () => {
  expect([archOf("x86_64"), archOf("amd64"), archOf("aarch64"), archOf("arm64")]).toEqual([
    "amd64",
    "amd64",
    "arm64",
    "arm64",
  ]);
  expect(archOf(undefined)).toBeUndefined();
});

test("withFlagName() names the argument where that was typed, and the flag where that was", () => {
  const thrown = new BangerError("invalid_argument", 'invalid value for "name": it must be less');
  const spec = commandAt(["kernel", "import"]);
  expect(withFlagName(thrown, spec, { args: { name: "A B" } })).toMatchObject({
    message: "invalid value for NAME: it must be less",
  });
  expect(withFlagName(thrown, spec, { args: { name: undefined } })).toMatchObject({
    message: "invalid value for --name: it must be less",
  });
});

test("a name that docker would take for an image is answered with one that banger takes", () => {
  const why = "image names can contain lower-case letters, digits, dots, dashes and underscores";
  const thrown = new BangerError("invalid_argument", `invalid value for "build.name": ${why}`);
  const flags = { name: "reg.example:5000/team/App:1.0" };
  expect(withFlagName(thrown, commandAt(["image", "build"]), { flags })).toMatchObject({
    message: `invalid value for --name: ${why}`,
    hint: "Image names have no registry or tag: --name app-1.0",
  });
  const to = new BangerError("invalid_argument", `invalid value for "to": ${why}`);
  const args = { image: "x", name: "app:latest" };
  expect(withFlagName(to, commandAt(["image", "tag"]), { args })).toMatchObject({
    hint: "Image names have no registry or tag: app-latest",
  });
});

test("a bandwidth is a size for both directions, or one for each", () => {
  expect(bandwidthArg("10M")).toEqual({ in: 10 * 1024 ** 2, out: 10 * 1024 ** 2 });
  expect(bandwidthArg("10M:none")).toEqual({ in: 10 * 1024 ** 2, out: 0 });
  expect(bandwidthArg("none")).toEqual({ in: 0, out: 0 });
  for (const text of ["", "1M:", ":1M", ":"]) {
    expect(() => bandwidthArg(text)).toThrow(`invalid bandwidth "${text}"`);
  }
  for (const text of ["1M:2M:3M", "fast", "1M:", ":1M", ""]) {
    expect(() => bandwidthArg(text)).toThrow("invalid");
  }
  const flags = { diskBandwidth: undefined, diskIops: undefined, netBandwidth: undefined };
  expect(limitsOf(flags)).toBeUndefined();
  expect(limitsOf({ ...flags, netBandwidth: { in: 1024, out: 0 } })).toEqual({
    net_in_bytes_per_s: 1024,
    net_out_bytes_per_s: 0,
  });
});

test("labelsOf() takes docker's forms and names the label that is none", () => {
  expect(labelsOf(["a=b=c", "d", "e="])).toEqual({ a: "b=c", d: "", e: "" });
  for (const text of ["", "=x", "a b=x", "-a"]) {
    expect(() => labelsOf([text])).toThrow(`invalid value for --label "${text}": label names`);
  }
});

test("withFlagName() says the flag or the argument for the field of the API", () => {
  const said = (path: string, words: readonly string[]) => {
    const error = new BangerError(
      "invalid_argument",
      `invalid value for "${path}": it must be more`,
    );
    const named = withFlagName(error, commandAt(words));
    return named instanceof BangerError ? named.message : "";
  };
  const run = ["vm", "run"];
  expect(said("create.memory_mib", run)).toBe("invalid value for --memory: it must be more");
  expect(said("create.disk_bytes", run)).toBe("invalid value for --disk: it must be more");
  expect(said("create.idleStop_ms", run)).toBe("invalid value for --idle-stop: it must be more");
  expect(said("create.ports.0.host", run)).toBe("invalid value for --publish: it must be more");
  expect(said("outputMax_bytes", ["vm", "exec"])).toBe(
    "invalid value for --max-output: it must be more",
  );
  expect(said("grace_ms", ["vm", "stop"])).toBe("invalid value for --grace: it must be more");
  expect(said("ring_bytes", ["vm", "session", "start"])).toBe(
    "invalid value for --ring: it must be more",
  );
  expect(said("create.image", run)).toBe("invalid value for IMAGE: it must be more");
  expect(said("to", ["vm", "rename"])).toBe("invalid value for NAME: it must be more");
  expect(said("create.labels.a b", run)).toBe("invalid value for --label: it must be more");
  expect(said("limits.net_out_bytes_per_s", run)).toContain("value for --net-bandwidth: ");
  expect(said("limits.disk_operations_per_s", run)).toContain("value for --disk-iops: ");
  expect(said("elsewhere", run)).toBe('invalid value for "elsewhere": it must be more');
});
