/**
 * The certificate authority of a machine, and the certificates for the hosts of its secrets. The authority's key is
 * derived from a key of this host's: nothing of it is on a disk, and it is the same after a restart of the daemon.
 */
import { createECDH, createPrivateKey, hkdfSync, randomBytes } from "node:crypto";
import type { X509Certificate } from "@peculiar/x509";

const DAY_MS = 86_400_000;
/** A guest's clock may be behind. */
const BACKDATED_MS = DAY_MS;
/** Programs refuse certificates that are valid for longer than 398 days. */
const LEAF_VALID_MS = 90 * DAY_MS;
/** A leaf is made anew when less than this is left. */
const LEAF_LEFT_MS = 30 * DAY_MS;
const AUTHORITY_FROM = new Date("2020-01-01T00:00:00Z");
const AUTHORITY_UNTIL = new Date("2049-12-31T00:00:00Z");
/** Of one machine; the oldest goes. */
const LEAVES_MAX = 256;
const SERVER_AUTHENTICATION = "1.3.6.1.5.5.7.3.1";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** It takes longer to load than a command takes: only for machines that have secrets. */
async function library() {
  await import("reflect-metadata");
  return await import("@peculiar/x509");
}

type Keys = Awaited<ReturnType<typeof importKeys>>;

export interface Leaf {
  cert: string;
  key: string;
}

export interface Authority {
  /** For the guest's trust stores. */
  certificate: string;
  leaf(host: string): Promise<Leaf>;
}

/** `secret`: this host's; `lineage`: of a machine and its copies, whose memory trusts the same authority. */
export async function makeAuthority(secret: Uint8Array, lineage: string): Promise<Authority> {
  const x509 = await library();
  const keys = await importKeys(deriveKey(secret, `authority ${lineage}`));
  const leafKey = deriveKey(secret, `leaf ${lineage}`);
  const leafKeys = await importKeys(leafKey);
  const own = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name: [{ CN: [authorityName(lineage)] }],
    notBefore: AUTHORITY_FROM,
    notAfter: AUTHORITY_UNTIL,
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const key = createPrivateKey({ key: leafKey, format: "jwk" }).export({
    type: "pkcs8",
    format: "pem",
  });
  const leaves = new Map<string, { made: Promise<string>; until: number }>();
  return {
    certificate: `${own.toString("pem")}\n`,
    async leaf(host) {
      const now = Date.now();
      const known = leaves.get(host);
      const isGood = known !== undefined && known.until - now > LEAF_LEFT_MS;
      const made = isGood ? known.made : makeLeaf(host, { own, keys, leafKeys, now });
      if (!isGood) {
        leaves.delete(host);
        for (const oldest of leaves.keys()) {
          if (leaves.size < LEAVES_MAX) break;
          leaves.delete(oldest);
        }
        leaves.set(host, { made, until: now + LEAF_VALID_MS });
      }
      return { cert: await made, key: String(key) };
    },
  };
}

export function authorityName(lineage: string): string {
  return `banger ca ${lineage}`;
}

async function makeLeaf(
  host: string,
  { own, keys, leafKeys, now }: { own: X509Certificate; keys: Keys; leafKeys: Keys; now: number },
): Promise<string> {
  const x509 = await library();
  const leaf = await x509.X509CertificateGenerator.create({
    // Its highest bit is 0: a serial number is positive.
    serialNumber: `01${randomBytes(15).toString("hex")}`,
    // Names of hosts may be longer than a common name.
    subject: [{ O: ["banger"] }],
    issuer: own.subject,
    notBefore: new Date(now - BACKDATED_MS),
    notAfter: new Date(now + LEAF_VALID_MS),
    signingAlgorithm: ALGORITHM,
    publicKey: leafKeys.publicKey,
    signingKey: keys.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([SERVER_AUTHENTICATION]),
      new x509.SubjectAlternativeNameExtension([{ type: "dns", value: host }], true),
      await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return leaf.toString("pem");
}

function deriveKey(secret: Uint8Array, info: string): JsonWebKey {
  // Out of range for P-256 once in 2^32: ECDH refuses it then.
  const scalar = Buffer.from(hkdfSync("sha256", secret, "", `banger egress ${info}`, 32));
  const curve = createECDH("prime256v1");
  curve.setPrivateKey(scalar);
  const point = curve.getPublicKey();
  const part = (bytes: Buffer) => bytes.toString("base64url");
  return {
    kty: "EC",
    crv: "P-256",
    d: part(scalar),
    x: part(point.subarray(1, 33)),
    y: part(point.subarray(33)),
  };
}

async function importKeys(key: JsonWebKey) {
  const { d: _, ...open } = key;
  const { subtle } = crypto;
  return {
    privateKey: await subtle.importKey("jwk", key, ALGORITHM, true, ["sign"]),
    publicKey: await subtle.importKey("jwk", open, ALGORITHM, true, ["verify"]),
  };
}
