import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import { run } from "#base/run.ts";
import type { Agent } from "#guest/agent.ts";
import { subjectHash, trustEnvironment, trustInGuest } from "./trust.ts";

test("OpenSSL looks for a root under the name that it is given", async () => {
  const folder = mkdtempSync(join(tmpdir(), "banger-hash-"));
  try {
    const path = join(folder, "ca.pem");
    for (const name of ["banger ca 0123456789abcdef", "A"]) {
      const make = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
      const files = ["-nodes", "-keyout", join(folder, "key.pem"), "-out", path];
      await run(["openssl", ...make, ...files, "-subj", `/CN=${name}`]);
      const { stdout } = await run(["openssl", "x509", "-in", path, "-noout", "-subject_hash"]);
      expect(subjectHash(await Bun.file(path).text())).toBe(stdout.trim());
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("every program still trusts the authorities that the image has, such as a company's", async () => {
  const store = "/etc/ssl/certs/ca-certificates.crt";
  const company = "-----BEGIN CERTIFICATE-----\ncompany\n-----END CERTIFICATE-----\n";
  const written = new Map<string, string>([[store, company]]);
  const files = {
    stat: async (path: string) => {
      if (written.has(path)) return { kind: "file" };
      throw new BangerError("not_found", `no such file ${path}`);
    },
    readFile: async (path: string) => Buffer.from(written.get(path) ?? ""),
    mkdir: async () => {},
    writeFile: async (path: string, bytes: Uint8Array) => {
      written.set(path, Buffer.from(bytes).toString());
    },
  };
  const certificate = "-----BEGIN CERTIFICATE-----\nmachine\n-----END CERTIFICATE-----\n";
  const guest = { files } as unknown as Agent;
  await trustInGuest(guest, { certificate, roots: () => "unused" });
  for (const path of [store, ...Object.values(trustEnvironment)]) {
    expect(written.get(path), path).toBe(company + certificate);
  }
});
