import { afterAll, expect, test } from "bun:test";
import {
  chmodSync,
  lchownSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SecretKeeper } from "./keeper.ts";

const folder = mkdtempSync(join(tmpdir(), "banger-secrets-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SECRET = { name: "TOKEN", hosts: ["api.test"] };
let count = 0;

function keeper(machines: Record<string, string> = { m1: "l1", m2: "l2" }) {
  const own = join(folder, `${count++}`);
  const options = {
    keyring: join(own, "secrets.json"),
    key: join(own, "egress.key"),
    machine: (id: string) => {
      const lineage = machines[id];
      return lineage === undefined ? undefined : { lineage, secrets: [SECRET] };
    },
  };
  return { ...options, open: () => new SecretKeeper(options) };
}

test("a stored value is found by every process, and is in no list", async () => {
  const files = keeper();
  const one = files.open();
  const other = files.open();
  one.set("TOKEN", { value: "value-number-1" });
  expect(await other.value("m1", "TOKEN")).toBe("value-number-1");
  one.set("TOKEN", { value: "value-number-2" });
  expect(await other.value("m1", "TOKEN")).toBe("value-number-2");
  expect(other.known("m1", ["TOKEN", "OTHER"])).toEqual(["value-number-2"]);
  expect(JSON.stringify(other.list())).not.toContain("value-number");
  expect(other.list()).toMatchObject([{ name: "TOKEN", kind: "value" }]);
  expect(statSync(files.keyring).mode & 0o777).toBe(0o600);
  one.hostKey();
  expect(statSync(files.key).mode & 0o777).toBe(0o600);
  one.remove("TOKEN");
  await expect(other.value("m1", "TOKEN")).rejects.toThrow('no such secret "TOKEN"');
  expect(() => one.remove("TOKEN")).toThrow('no such secret "TOKEN"');
});

test("a value that was given for a machine is its own, and goes with it", async () => {
  const files = keeper();
  const secrets = files.open();
  expect(() => secrets.keep("l1", [SECRET])).toThrow('no such secret "TOKEN"');
  secrets.keep("l1", [{ ...SECRET, value: "of-machine-1" }]);
  secrets.set("TOKEN", { value: "of-the-keyring" });
  expect(await files.open().value("m1", "TOKEN")).toBe("of-machine-1");
  expect(await secrets.value("m2", "TOKEN")).toBe("of-the-keyring");
  secrets.prune((lineage) => lineage !== "l1");
  expect(readFileSync(files.keyring, "utf8")).not.toContain("of-machine-1");
  expect(await secrets.value("m1", "TOKEN")).toBe("of-the-keyring");
});

test("copies of a machine have its placeholder, and others do not", () => {
  const files = keeper({ m1: "l1", copy: "l1", m2: "l2" });
  const secrets = files.open();
  const of = (id: string) => secrets.of(id)[0]?.placeholder;
  expect(of("m1")).toMatch(/^banger_[0-9a-f]{32}$/);
  expect(files.open().of("copy")[0]?.placeholder).toBe(of("m1") ?? "");
  expect(of("m2")).not.toBe(of("m1"));
  expect(secrets.of("nobody")).toEqual([]);
});

test("a keyring that others could read, or have written, is refused", () => {
  const files = keeper();
  const secrets = files.open();
  secrets.set("TOKEN", { value: "value-number-1" });
  chmodSync(files.keyring, 0o640);
  expect(() => secrets.list()).toThrow("other users have access to it");
  chmodSync(files.keyring, 0o600);
  expect(secrets.list()).toHaveLength(1);
  if (process.getuid?.() === 0) {
    lchownSync(files.keyring, 65_534, 65_534);
    expect(() => secrets.list()).toThrow("it belongs to another user");
    lchownSync(files.keyring, 0, 0);
  }
  writeFileSync(files.keyring, '{"format":1,"secrets":{"TOKEN":"value-number-1"}}');
  // What is wrong may be a part of a secret.
  expect(() => secrets.list()).toThrow(/^Cannot read the keyring \S+: not valid$/);
  rmSync(files.keyring);
  symlinkSync(files.key, files.keyring);
  expect(() => secrets.list()).toThrow("Cannot read the keyring");
});

test("a command runs once until its token expires, and what it prints on failure is not shown", async () => {
  const files = keeper();
  const secrets = files.open();
  const log = join(folder, "runs");
  const script = (print: string) => ["sh", "-c", `echo run >> ${log}; ${print}`];
  const runs = () => readFileSync(log, "utf8").split("\n").length - 1;
  secrets.set("TOKEN", { command: script(`echo token-of-$(wc -l < ${log})`) });
  expect(secrets.known("m1", ["TOKEN"])).toEqual([]);
  const both = await Promise.all([secrets.value("m1", "TOKEN"), secrets.value("m2", "TOKEN")]);
  expect(both).toEqual(["token-of-1", "token-of-1"]);
  expect(secrets.known("m2", ["TOKEN"])).toEqual(["token-of-1"]);
  const document = (seconds: number) =>
    `echo '{"access_token":"token-json","expires_in":${seconds}}'`;
  secrets.set("TOKEN", { command: script(document(3600)) });
  expect(await secrets.value("m1", "TOKEN")).toBe("token-json");
  expect(await secrets.value("m1", "TOKEN")).toBe("token-json");
  expect(runs()).toBe(2);
  // About to expire at once.
  secrets.set("TOKEN", { command: script(document(1)) });
  await secrets.value("m1", "TOKEN");
  await secrets.value("m1", "TOKEN");
  expect(runs()).toBe(4);
  for (const bad of [
    "echo oops-a-secret; exit 3",
    "echo short",
    "printf 'two\\nlines-here'",
    "true",
  ]) {
    secrets.set("TOKEN", { command: script(bad) });
    const failure = await secrets.value("m1", "TOKEN").catch((error) => String(error));
    expect(failure).toContain("Cannot get secret TOKEN from its command: ");
    expect(failure).not.toContain("oops");
  }
});
