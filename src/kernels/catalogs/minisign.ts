/**
 * Signatures in minisign's format: Ed25519 over the BLAKE2b-512 hash of the file, and a second
 * one over the first and the trusted comment. Source: jedisct1.github.io/minisign, "Signature
 * format", "Public key format", "Secret key format".
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign as signBytes,
  verify as verifyBytes,
} from "node:crypto";
import { BangerError } from "#base/error.ts";

export const MAX_SIGNATURE_BYTES = 4096;
/** DER prefixes of a 32-byte key for node:crypto (RFC 8410, sections 4 and 7). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");
const PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");
/** Signature of the file ("Ed") or of its hash ("ED"). */
const LEGACY = "Ed";
const HASHED = "ED";

export interface PublicKey {
  /** 16 upper-case hex digits, as minisign shows it. */
  id: string;
  key: KeyObject;
  /** Base64, as for `minisign -P`. */
  text: string;
}

export interface SecretKey {
  id: Buffer;
  key: KeyObject;
}

export interface Signed {
  trustedComment: string;
  /** Unix time from the trusted comment, if it has minisign's default form. */
  timestamp_s: number | undefined;
}

/** One line of base64, or a public key file. */
export function parsePublicKey(text: string): PublicKey {
  const line = text.trim().split("\n").at(-1)?.trim() ?? "";
  const bytes = Buffer.from(line, "base64");
  if (bytes.length !== 42 || bytes.toString("latin1", 0, 2) !== LEGACY) {
    throw new BangerError("invalid_argument", "invalid minisign public key", {
      hint: 'A public key is one line of 56 characters that starts with "RW"',
    });
  }
  const key = createPublicKey({
    key: Buffer.concat([SPKI_PREFIX, bytes.subarray(10)]),
    format: "der",
    type: "spki",
  });
  return { id: idText(bytes.subarray(2, 10)), key, text: bytes.toString("base64") };
}

/** `integrity` unless `signature`, the text of a ".minisig" file, is valid for `key` and `data`. */
export function verify(
  data: Uint8Array,
  signature: string,
  { key, what }: { key: PublicKey; what: string },
): Signed {
  const refuse = (why: string, code: "integrity" | "unauthorized" = "integrity"): BangerError =>
    new BangerError(code, `Cannot use ${what}: ${why}`);
  const [, first = "", comment = "", second = ""] = signature.split(/\r?\n/);
  const bytes = Buffer.from(first, "base64");
  const global = Buffer.from(second, "base64");
  const algorithm = bytes.toString("latin1", 0, 2);
  const isFit = bytes.length === 74 && global.length === 64 && /^(Ed|ED)$/.test(algorithm);
  if (!isFit || !comment.startsWith("trusted comment: ")) {
    throw refuse("not a minisign signature");
  }
  const id = idText(bytes.subarray(2, 10));
  if (id !== key.id) throw refuse(`signed with key ${id}, expected ${key.id}`);
  const message = algorithm === HASHED ? blake2b(data) : data;
  const body = bytes.subarray(10);
  if (!verifyBytes(null, message, key.key, body)) throw refuse("signature verification failed");
  const trustedComment = comment.slice("trusted comment: ".length);
  const covered = Buffer.concat([body, Buffer.from(trustedComment)]);
  if (!verifyBytes(null, covered, key.key, global)) {
    throw refuse("signature verification of the trusted comment failed");
  }
  const seconds = /(?:^|\s)timestamp:(\d{1,12})(?:\s|$)/.exec(trustedComment)?.[1];
  return { trustedComment, timestamp_s: seconds === undefined ? undefined : Number(seconds) };
}

/** The text of a ".minisig" file. */
export function sign(data: Uint8Array, secret: SecretKey, trustedComment: string): string {
  const body = signBytes(null, blake2b(data), secret.key);
  const global = signBytes(null, Buffer.concat([body, Buffer.from(trustedComment)]), secret.key);
  const head = Buffer.concat([Buffer.from(HASHED), secret.id, body]);
  return [
    "untrusted comment: signature from banger",
    head.toString("base64"),
    `trusted comment: ${trustedComment}`,
    global.toString("base64"),
    "",
  ].join("\n");
}

export interface KeyPair {
  publicKey: PublicKey;
  /** Texts of the two files. */
  publicFile: string;
  secretFile: string;
}

/** The secret key is not encrypted, like that of `minisign -G -W`. */
export function generateKeyPair(): KeyPair {
  const pair = generateKeyPairSync("ed25519");
  const seed = pair.privateKey.export({ format: "der", type: "pkcs8" }).subarray(-32);
  const point = pair.publicKey.export({ format: "der", type: "spki" }).subarray(-32);
  const id = randomBytes(8);
  const publicLine = Buffer.concat([Buffer.from(LEGACY), id, point]).toString("base64");
  const numbered = Buffer.concat([id, seed, point]);
  const secret = Buffer.concat([
    Buffer.from(LEGACY),
    Buffer.from([0, 0]),
    Buffer.from("B2"),
    Buffer.alloc(48),
    numbered,
    checksum(numbered),
  ]);
  const shown = idText(id);
  return {
    publicKey: parsePublicKey(publicLine),
    publicFile: `untrusted comment: minisign public key ${shown}\n${publicLine}\n`,
    secretFile: `untrusted comment: minisign secret key ${shown}\n${secret.toString("base64")}\n`,
  };
}

/** `unsupported` for an encrypted key. */
export function parseSecretKey(text: string): SecretKey {
  const bytes = Buffer.from(text.trim().split("\n").at(-1)?.trim() ?? "", "base64");
  if (bytes.length !== 158 || bytes.toString("latin1", 0, 2) !== LEGACY) {
    throw new BangerError("invalid_argument", "invalid minisign secret key", {
      hint: "Generate a key pair with: banger kernel catalog keygen",
    });
  }
  if (bytes.readUInt16LE(2) !== 0) {
    throw new BangerError(
      "unsupported",
      "Cannot use the secret key: it is encrypted with a password",
      {
        hint: "Sign with minisign: minisign -S -m CATALOG",
      },
    );
  }
  const numbered = bytes.subarray(54, 126);
  // minisign leaves the checksum of an unencrypted key empty.
  const sum = bytes.subarray(126);
  if (!sum.equals(checksum(numbered)) && !sum.equals(Buffer.alloc(sum.length))) {
    throw new BangerError("integrity", "Cannot use the secret key: checksum mismatch");
  }
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8_PREFIX, numbered.subarray(8, 40)]),
    format: "der",
    type: "pkcs8",
  });
  return { id: numbered.subarray(0, 8), key };
}

function checksum(numbered: Uint8Array): Buffer {
  const hasher = new Bun.CryptoHasher("blake2b256");
  return Buffer.from(hasher.update(LEGACY).update(numbered).digest());
}

function blake2b(data: Uint8Array): Buffer {
  return createHash("blake2b512").update(data).digest();
}

/** minisign prints the eight bytes as a little-endian number. */
function idText(id: Uint8Array): string {
  return Buffer.from(id).readBigUInt64LE().toString(16).toUpperCase().padStart(16, "0");
}
