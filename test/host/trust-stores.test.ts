/** Where the certificate of a machine's secrets goes in the images of each family, by the real agent. */
import { expect } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { runOk } from "#base/run.ts";
import { makeAuthority } from "#egress/intercept/certificates.ts";
import { testNeeding } from "#test/needs.ts";
import { startRootedAgent } from "#test/rooted-agent.ts";
import { subjectHash, trustInGuest } from "#vm/secrets/trust.ts";

const rootTest = testNeeding("root", "unshare");
const debianTest = testNeeding("root", "unshare", "openssl", "update-ca-certificates");

const FAMILIES = [
  {
    id: "debian",
    bundle: "etc/ssl/certs/ca-certificates.crt",
    anchor: "usr/local/share/ca-certificates/banger.crt",
  },
  {
    id: "alpine",
    bundle: "etc/ssl/certs/ca-certificates.crt",
    anchor: "usr/local/share/ca-certificates/banger.crt",
  },
  {
    id: "fedora",
    bundle: "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    anchor: "etc/pki/ca-trust/source/anchors/banger.pem",
  },
  {
    id: "arch",
    bundle: "etc/ca-certificates/extracted/tls-ca-bundle.pem",
    anchor: "etc/ca-certificates/trust-source/anchors/banger.crt",
  },
  {
    id: "opensuse-leap",
    like: "suse opensuse",
    bundle: "var/lib/ca-certificates/ca-bundle.pem",
    anchor: "etc/pki/trust/anchors/banger.pem",
  },
];

/** An image's root with these files, after a boot of its machine. */
async function trusting(files: Record<string, string>, check: (at: Check) => Promise<void> | void) {
  const root = mkdtempSync(join(tmpdir(), "banger-trust-"));
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    const { certificate } = await makeAuthority(new Uint8Array(32).fill(5), "test");
    await using rooted = await startRootedAgent(root);
    for (let boot = 0; boot < 2; boot++) {
      await trustInGuest(rooted.agent, { certificate, roots: () => "ROOTS OF THE HOST\n" });
    }
    const read = (path: string) => readFileSync(join(root, path), "utf8");
    await check({ root, certificate, read, has: (path) => existsSync(join(root, path)) });
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

interface Check {
  root: string;
  certificate: string;
  read: (path: string) => string;
  has: (path: string) => boolean;
}

for (const { id, like = "", bundle, anchor } of FAMILIES) {
  const release = `NAME="x"\nID="${id}"\nID_LIKE="${like}"\n`;

  rootTest(`${id} trusts it, and its own tool will find it`, async () => {
    await trusting({ "etc/os-release": release, [bundle]: "OWN ROOTS\n" }, (at) => {
      expect(at.read(bundle)).toBe(`OWN ROOTS\n${at.certificate}`);
      expect(at.read("etc/banger/ca-bundle.pem")).toBe(`OWN ROOTS\n${at.certificate}`);
      expect(at.read("etc/banger/ca.pem")).toBe(at.certificate);
      expect(at.read(anchor)).toBe(at.certificate);
    });
  });

  rootTest(`${id} without roots gets the host's, and trusts it once it has some`, async () => {
    await trusting({ "usr/lib/os-release": release }, (at) => {
      expect(at.read("etc/banger/ca-bundle.pem")).toBe(`ROOTS OF THE HOST\n${at.certificate}`);
      expect(at.has(bundle)).toBe(false);
      expect(at.read(anchor)).toBe(at.certificate);
      const others = FAMILIES.filter((each) => each.anchor !== anchor);
      for (const other of others) expect(at.has(other.anchor)).toBe(false);
    });
  });
}

rootTest("an image of no family has it in its own directory alone", async () => {
  await trusting({ "bin/program": "" }, (at) => {
    expect(at.read("etc/banger/ca-bundle.pem")).toBe(`ROOTS OF THE HOST\n${at.certificate}`);
    for (const { anchor } of FAMILIES) expect(at.has(anchor)).toBe(false);
  });
});

debianTest("Debian's update-ca-certificates does not lose it", async () => {
  const own = "usr/share/ca-certificates/own.crt";
  const other = await makeAuthority(new Uint8Array(32).fill(6), "other");
  const files = {
    "etc/os-release": "ID=debian\n",
    "etc/ssl/certs/ca-certificates.crt": other.certificate,
    "etc/ca-certificates.conf": "own.crt\n",
    [own]: other.certificate,
    "etc/ca-certificates/update.d/.keep": "",
  };
  await trusting(files, async ({ root, certificate, read, has }) => {
    const at = (path: string) => join(root, path);
    const options = [
      ...["--certsconf", at("etc/ca-certificates.conf"), "--certsdir", at(dirname(own))],
      ...["--localcertsdir", at("usr/local/share/ca-certificates")],
      ...["--etccertsdir", at("etc/ssl/certs"), "--hooksdir", at("etc/ca-certificates/update.d")],
    ];
    for (const fresh of [[], ["--fresh"]]) {
      await runOk(["update-ca-certificates", ...fresh, ...options]);
      const bundle = read("etc/ssl/certs/ca-certificates.crt");
      expect(bundle).toContain(certificate.trim());
      expect(bundle).toContain(other.certificate.trim());
      expect(has(`etc/ssl/certs/${subjectHash(certificate)}.0`)).toBe(true);
    }
  });
});
