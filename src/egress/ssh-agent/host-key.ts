/** Verifies signatures of ssh host keys, as a server makes one over the session id of each connection. */
import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { Malformed, Reader } from "./wire.ts";

const CURVES = {
  "ecdsa-sha2-nistp256": { crv: "P-256", hash: "sha256", size_bytes: 32 },
  "ecdsa-sha2-nistp384": { crv: "P-384", hash: "sha384", size_bytes: 48 },
  "ecdsa-sha2-nistp521": { crv: "P-521", hash: "sha512", size_bytes: 66 },
} as const;
/** Not "ssh-rsa", which is SHA-1. */
const RSA_HASHES: Readonly<Record<string, string>> = {
  "rsa-sha2-256": "sha256",
  "rsa-sha2-512": "sha512",
};
const ED25519_BYTES = 32;
const UNCOMPRESSED_POINT = 4;

/** False for another key, another text, and kinds of keys that are not known here, such as certificates. */
export function isSignedBy(key: Uint8Array, text: Uint8Array, signature: Uint8Array): boolean {
  try {
    const reader = new Reader(signature);
    const format = reader.text();
    const blob = reader.string();
    reader.end();
    return verifyBlob(key, text, { format, blob });
  } catch {
    return false;
  }
}

function verifyBlob(
  key: Uint8Array,
  text: Uint8Array,
  { format, blob }: { format: string; blob: Buffer },
): boolean {
  const reader = new Reader(key);
  const type = reader.text();
  if (type === "ssh-ed25519" && format === type) {
    const x = reader.string();
    reader.end();
    if (x.length !== ED25519_BYTES) return false;
    const jwk = { kty: "OKP", crv: "Ed25519", x: x.toString("base64url") };
    return verify(null, text, createPublicKey({ key: jwk, format: "jwk" }), blob);
  }
  const hash = type === "ssh-rsa" ? RSA_HASHES[format] : undefined;
  if (hash) return verify(hash, text, rsaKey(reader), blob);
  const curve = Object.hasOwn(CURVES, type) ? CURVES[type as keyof typeof CURVES] : undefined;
  if (!curve || format !== type) return false;
  const numbers = new Reader(blob);
  const pair = [numbers.string(), numbers.string()].map((each) => sized(each, curve.size_bytes));
  numbers.end();
  const options = { key: ecKey(reader, curve), dsaEncoding: "ieee-p1363" } as const;
  return verify(curve.hash, text, options, Buffer.concat(pair));
}

function rsaKey(reader: Reader): KeyObject {
  const [e, n] = [reader.string(), reader.string()];
  reader.end();
  const number = (bytes: Buffer): string =>
    (bytes[0] === 0 ? bytes.subarray(1) : bytes).toString("base64url");
  return createPublicKey({ key: { kty: "RSA", e: number(e), n: number(n) }, format: "jwk" });
}

function ecKey(
  reader: Reader,
  { crv, size_bytes }: { crv: string; size_bytes: number },
): KeyObject {
  reader.string();
  const point = reader.string();
  reader.end();
  if (point[0] !== UNCOMPRESSED_POINT || point.length !== 1 + 2 * size_bytes) {
    throw new Malformed("not a point");
  }
  const [x, y] = [point.subarray(1, 1 + size_bytes), point.subarray(1 + size_bytes)];
  const jwk = { kty: "EC", crv, x: x.toString("base64url"), y: y.toString("base64url") };
  return createPublicKey({ key: jwk, format: "jwk" });
}

/** A number of the protocol, which may have a zero in front or lack some, as so many bytes. */
function sized(number: Buffer, size_bytes: number): Buffer {
  const start = number.length > size_bytes && number[0] === 0 ? 1 : 0;
  const digits = number.subarray(start);
  if (digits.length > size_bytes) throw new Malformed("number too long");
  return Buffer.concat([Buffer.alloc(size_bytes - digits.length), digits]);
}
