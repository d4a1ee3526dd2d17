import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bangerErrorOf } from "#test/expect-error.ts";
import { findCredential } from "./credentials.ts";

const PATH_BEFORE = process.env["PATH"];
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-credentials-"));
  process.env["PATH"] = `${folder}:${PATH_BEFORE}`;
});

afterAll(() => {
  process.env["PATH"] = PATH_BEFORE;
  rmSync(folder, { recursive: true, force: true });
});

function find(registry: string, config: unknown) {
  const dockerConfigPath = join(folder, "config.json");
  writeFileSync(dockerConfigPath, typeof config === "string" ? config : JSON.stringify(config));
  return findCredential(registry, { dockerConfigPath });
}

function helper(name: string, script: string): void {
  writeFileSync(join(folder, `docker-credential-${name}`), `#!/bin/sh\n${script}\n`, {
    mode: 0o755,
  });
}

const auth = btoa("me:pass:word");
const credential = { kind: "password", username: "me", password: "pass:word" } as const;

test.each([
  ["docker.io", "https://index.docker.io/v1/"],
  ["docker.io", "docker.io"],
  ["ghcr.io", "ghcr.io"],
  ["ghcr.io", "https://ghcr.io"],
  ["ghcr.io", "https://ghcr.io/v2/"],
  ["127.0.0.1:5000", "http://127.0.0.1:5000"],
])("findCredential(%j) finds auths %j", async (registry, key) => {
  expect(await find(registry, { auths: { [key]: { auth } } })).toEqual({ credential });
});

test.each([
  ["ghcr.io", "ghcr.io.evil.example"],
  ["ghcr.io", "evil.example/ghcr.io"],
  ["127.0.0.1:5000", "127.0.0.1:5001"],
  ["127.0.0.1:5000", "127.0.0.1"],
  ["constructor", "x"],
])("findCredential(%j) does not take auths %j", async (registry, key) => {
  expect(await find(registry, { auths: { [key]: { auth } } })).toEqual({});
});

test("findCredential() reads tokens and plain fields", async () => {
  const one = { auths: { h: { auth: "", identitytoken: "refresh" } } };
  expect(await find("h", one)).toEqual({ credential: { kind: "refresh", token: "refresh" } });
  const two = { auths: { h: { registrytoken: "bearer" } } };
  expect(await find("h", two)).toEqual({ credential: { kind: "bearer", token: "bearer" } });
  const three = { auths: { h: { username: "me", password: "pass:word" } } };
  expect(await find("h", three)).toEqual({ credential });
  for (const nothing of [{}, { auth: "" }, { auth: "%%%" }, { auth: btoa("nocolon") }]) {
    expect(await find("h", { auths: { h: nothing } })).toEqual({});
  }
});

test("findCredential() has nothing without a file, and says so when the file is damaged", async () => {
  expect(await findCredential("h", {})).toEqual({});
  expect(await findCredential("h", { dockerConfigPath: join(folder, "none") })).toEqual({});
  expect((await bangerErrorOf(find("h", "{"))).message).toContain("config.json");
});

test("findCredential() asks the helper of a registry, or the store for all", async () => {
  helper(
    "one",
    'read url; printf \'{"ServerURL":"%s","Username":"me","Secret":"%s"}\' "$url" "$1:$url"',
  );
  const helpers = { credHelpers: { "ghcr.io": "one" }, auths: { "ghcr.io": { auth } } };
  expect(await find("ghcr.io", helpers)).toEqual({
    credential: { kind: "password", username: "me", password: "get:ghcr.io" },
  });
  expect(await find("docker.io", { credsStore: "one" })).toEqual({
    credential: { kind: "password", username: "me", password: "get:https://index.docker.io/v1/" },
  });
  helper("token", 'printf \'{"Username":"<token>","Secret":"abc"}\'');
  expect(await find("h", { credsStore: "token" })).toEqual({
    credential: { kind: "refresh", token: "abc" },
  });
});

test("findCredential() goes on without a helper that fails, and tells about it", async () => {
  helper("none", "echo credentials not found in native keychain; exit 1");
  expect(await find("h", { credsStore: "none" })).toEqual({});
  expect(await find("h", { credsStore: "none", auths: { h: { auth } } })).toEqual({ credential });
  helper("bad", "echo s3cret; exit 3");
  const bad = await find("h", { credsStore: "bad" });
  expect(bad).toEqual({ problem: '"docker-credential-bad" failed with exit status 3' });
  helper("noise", "echo s3cret");
  const noise = await find("h", { credsStore: "noise" });
  expect(noise.credential).toBeUndefined();
  expect(JSON.stringify(noise)).not.toContain("s3cret");
  expect((await find("h", { credsStore: "missing" })).problem).toContain(
    "docker-credential-missing",
  );
  expect((await find("h", { credsStore: "../../bin/sh" })).problem).toContain("name");
});
