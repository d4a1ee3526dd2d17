import { expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "#base/run.ts";
import { makeAuthority } from "./certificates.ts";

const KEY = Buffer.alloc(32, 3);

test("openssl takes the certificates for what they are", async () => {
  const folder = mkdtempSync(join(tmpdir(), "banger-ca-"));
  try {
    const authority = await makeAuthority(KEY, "0123456789abcdef");
    const leaf = await authority.leaf("api.test");
    writeFileSync(join(folder, "ca.pem"), authority.certificate);
    writeFileSync(join(folder, "leaf.pem"), leaf.cert);
    const options = ["-x509_strict", "-purpose", "sslserver", "-CAfile", join(folder, "ca.pem")];
    const verify = (host: string) =>
      run(["openssl", "verify", ...options, "-verify_hostname", host, join(folder, "leaf.pem")]);
    expect(await verify("api.test")).toMatchObject({ exitCode: 0 });
    expect((await verify("other.test")).exitCode).not.toBe(0);
    const found = new X509Certificate(leaf.cert);
    expect(found.ca).toBe(false);
    // A guest's clock may be behind by hours.
    expect(Date.now() - Date.parse(found.validFrom)).toBeGreaterThan(3600_000);
    expect(Date.parse(found.validTo) - Date.parse(found.validFrom)).toBeLessThan(398 * 86_400_000);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("an authority is the same after a restart, and another one for another machine", async () => {
  const keyOf = async (secret: Uint8Array, lineage: string) =>
    new X509Certificate((await makeAuthority(secret, lineage)).certificate).publicKey.export({
      type: "spki",
      format: "pem",
    });
  const own = await keyOf(KEY, "l1");
  expect(await keyOf(KEY, "l1")).toBe(own);
  expect(await keyOf(KEY, "l2")).not.toBe(own);
  expect(await keyOf(Buffer.alloc(32, 4), "l1")).not.toBe(own);
  const again = await makeAuthority(KEY, "l1");
  const leaf = new X509Certificate((await again.leaf("api.test")).cert);
  expect(
    leaf.verify(new X509Certificate((await makeAuthority(KEY, "l1")).certificate).publicKey),
  ).toBe(true);
});
