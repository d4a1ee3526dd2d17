import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { machineSecretRequests } from "#api/secrets/secret.ts";
import { machineSecretsOf } from "./machine-secret.ts";

afterEach(() => {
  delete process.env["BANGER_TEST_TOKEN"];
});

test("values come from files, the environment and the keyring, and never from the command line", () => {
  const folder = mkdtempSync(join(tmpdir(), "banger-secret-"));
  try {
    const path = join(folder, "to@ken");
    writeFileSync(path, "value-of-a-file\n");
    process.env["BANGER_TEST_TOKEN"] = "value-of-env";
    const texts = [
      "A@api.test",
      `B=@${path}@api.test,*.Example.com:8443`,
      "C=env:BANGER_TEST_TOKEN@api.test,header=X-Api-Key,in=query,in=body",
    ];
    const found = machineSecretsOf(texts);
    expect(found).toEqual([
      { name: "A", hosts: ["api.test"] },
      { name: "B", hosts: ["api.test", "*.example.com:8443"], value: "value-of-a-file" },
      {
        name: "C",
        hosts: ["api.test"],
        headers: ["x-api-key"],
        inQuery: true,
        inBody: true,
        value: "value-of-env",
      },
    ]);
    expect(machineSecretRequests.safeParse(found).success).toBe(true);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  expect(machineSecretsOf([])).toBeUndefined();
  const wrong = (text: string) => {
    try {
      machineSecretsOf([text]);
    } catch (error) {
      return String(error);
    }
    return "nothing";
  };
  expect(wrong("TOKEN=hunter2hunter2@api.test")).toContain("visible to other users");
  expect(wrong("TOKEN=hunter2hunter2@api.test")).not.toContain("hunter2");
  expect(wrong("TOKEN=hunter2")).toBe(
    'BangerError: invalid value for --secret "TOKEN": missing @HOST',
  );
  expect(wrong("TOKEN@api.test,*.com")).toContain(
    'invalid value for --secret "TOKEN": "*.com": a secret',
  );
  expect(wrong("TOKEN@api.test,header=a b")).toContain('"TOKEN": "a b": invalid header name');
  expect(wrong("LD_PRELOAD@api.test")).toContain('"LD_PRELOAD": programs in the machine need this');
  expect(wrong("A-B@api.test")).toContain('"A-B": secret names can contain');
  expect(wrong("TOKEN=env:NOT_SET_AT_ALL@api.test")).toContain("NOT_SET_AT_ALL is not set");
  expect(wrong("TOKEN=env:NOT_SET_AT_ALL@api.test,at=home")).toContain('unknown setting "at=home"');
});

test("hosts are names, and values can be sent in a header", () => {
  const isFine = (more: object) =>
    machineSecretRequests.safeParse([{ name: "A", hosts: ["api.test"], ...more }]).success;
  expect(isFine({})).toBe(true);
  for (const host of [
    "192.0.2.7",
    "192.0.2.7:443",
    "*",
    "*.",
    "*.com",
    "*.com:443",
    "a b",
    "api.test:0",
    "https://api.test",
    "[::1]",
  ]) {
    expect([host, isFine({ hosts: [host] })]).toEqual([host, false]);
  }
  for (const value of [
    "short",
    "with\nnewline",
    "with\r\nX-Other: 1",
    "nul\0nul\0nul",
    "ünïcödé",
  ]) {
    expect([value, isFine({ value })]).toEqual([value, false]);
  }
  for (const name of [
    "1A",
    "A-B",
    "A B",
    "A=B",
    "",
    "PATH",
    "LD_PRELOAD",
    "BASH_ENV",
    "SSL_CERT_FILE",
  ])
    expect([name, isFine({ name })]).toEqual([name, false]);
  for (const header of ["host", "X-Upper", "a b", "content-length"]) {
    expect([header, isFine({ headers: [header] })]).toEqual([header, false]);
  }
  expect(
    machineSecretRequests.safeParse([
      { name: "A", hosts: ["a.b"] },
      { name: "A", hosts: ["c.d"] },
    ]).success,
  ).toBe(false);
});

test("a value of an unfit length is refused by where it comes from, and not shown", () => {
  process.env["BANGER_TEST_TOKEN"] = "hunter2";
  const refused = expect(() => machineSecretsOf(["A=env:BANGER_TEST_TOKEN@api.test"]));
  refused.toThrow(
    "Cannot use the secret of BANGER_TEST_TOKEN: secrets must have at least 8 characters",
  );
});
