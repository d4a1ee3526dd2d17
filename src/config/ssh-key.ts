/**
 * ed25519 keys in the formats that ssh reads: openssh-key-v1 (OpenSSH's PROTOCOL.key) for
 * the private half, one authorized_keys line for the public half (RFC 4253, RFC 8709).
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { BangerError, errnoOf } from "#base/error.ts";
import { stagingPath } from "#base/files/atomic.ts";

const KEY_FILE_MAX_BYTES = 16 * 1024;
const TYPE = "ssh-ed25519";
const MAGIC = "openssh-key-v1\0";
const PEM_BEGIN = "-----BEGIN OPENSSH PRIVATE KEY-----";
const PEM_END = "-----END OPENSSH PRIVATE KEY-----";
/** The cipher's block size, which for an unencrypted key is 8. */
const BLOCK_BYTES = 8;

export interface SshKeyPair {
  /** PEM text of an unencrypted openssh-key-v1, with its last newline. */
  private: string;
  /** "ssh-ed25519 AAAA… comment", without a newline. */
  publicLine: string;
}

export interface SshKey {
  publicLine: string;
  privatePath: string;
}

export function generateHostKey(comment: string): SshKeyPair {
  const { privateKey } = generateKeyPairSync("ed25519");
  const jwk = privateKey.export({ format: "jwk" });
  const seed = Buffer.from(jwk.d ?? "", "base64url");
  const point = Buffer.from(jwk.x ?? "", "base64url");
  return {
    private: privateText(seed, point, comment),
    publicLine: publicText(point, comment),
  };
}

/**
 * The key at `path`, made with mode 0600 when there is none; its public half lies beside it
 * as `<path>.pub`. Any number of processes may call it at once: all get the same key.
 */
export function ensureSshKey(path: string): SshKey {
  const made = readKey(path) ?? makeKey(path);
  const publicPath = `${path}.pub`;
  if (readText(publicPath)?.trim() !== made.publicLine) {
    writeFileSync(publicPath, `${made.publicLine}\n`, { mode: 0o644 });
  }
  return { publicLine: made.publicLine, privatePath: path };
}

function makeKey(path: string): SshKeyPair {
  const key = generateHostKey(`banger@${hostname()}`);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const staging = stagingPath(path);
  try {
    writeFileSync(staging, key.private, { flag: "wx", mode: 0o600 });
    // Unlike a rename, a link fails when another process was first, whose key then counts.
    linkSync(staging, path);
    return key;
  } catch (error) {
    const other = errnoOf(error) === "EEXIST" ? readKey(path) : undefined;
    if (other) return other;
    throw error;
  } finally {
    rmSync(staging, { force: true });
  }
}

function readKey(path: string): SshKeyPair | undefined {
  const text = readText(path);
  if (text === undefined) return undefined;
  const parsed = parsePrivate(text);
  if (parsed) return { private: text, publicLine: publicText(parsed.point, parsed.comment) };
  throw new BangerError("invalid_argument", `Cannot use ${path}: not an unencrypted ed25519 key`, {
    hint: `Move it away to generate a new key: mv ${path} ${path}.old`,
  });
}

function readText(path: string): string | undefined {
  try {
    if (statSync(path).size > KEY_FILE_MAX_BYTES) return "";
    return readFileSync(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

function privateText(seed: Buffer, point: Buffer, comment: string): string {
  const check = randomBytes(4);
  const secret = Buffer.concat([
    check,
    check,
    field(TYPE),
    field(point),
    field(Buffer.concat([seed, point])),
    field(comment),
  ]);
  const pad = (BLOCK_BYTES - (secret.length % BLOCK_BYTES)) % BLOCK_BYTES;
  const body = Buffer.concat([
    Buffer.from(MAGIC, "latin1"),
    field("none"),
    field("none"),
    field(""),
    uint32(1),
    field(publicBlob(point)),
    field(Buffer.concat([secret, Buffer.from(Array.from({ length: pad }, (_, at) => at + 1))])),
  ]);
  const lines = body.toString("base64").match(/.{1,70}/g) ?? [];
  return `${[PEM_BEGIN, ...lines, PEM_END].join("\n")}\n`;
}

function parsePrivate(pem: string): { point: Buffer; comment: string } | undefined {
  const text = pem.trim();
  if (!text.startsWith(PEM_BEGIN) || !text.endsWith(PEM_END)) return undefined;
  const base64 = text.slice(PEM_BEGIN.length, -PEM_END.length).replace(/\s/g, "");
  const outer = reader(Buffer.from(base64, "base64"));
  if (outer.take(MAGIC.length)?.toString("latin1") !== MAGIC) return undefined;
  const cipher = outer.field()?.toString("latin1");
  outer.field();
  outer.field();
  const count = outer.take(4)?.readUInt32BE(0);
  outer.field();
  const secret = outer.field();
  if (cipher !== "none" || count !== 1 || !secret) return undefined;
  const inner = reader(secret);
  inner.take(8);
  const type = inner.field()?.toString("latin1");
  const point = inner.field();
  const pair = inner.field();
  const comment = inner.field()?.toString("utf8");
  if (type !== TYPE || point?.length !== 32 || pair?.length !== 64) return undefined;
  if (!pointOf(pair.subarray(0, 32)).equals(point)) return undefined;
  return { point, comment: (comment ?? "").replace(/[\r\n]/g, " ") };
}

/** The public point that belongs to a seed, by way of PKCS #8 (RFC 8410). */
function pointOf(seed: Buffer): Buffer {
  const prefix = Buffer.from("302e020100300506032b657004220420", "hex");
  const der = Buffer.concat([prefix, seed]);
  const key = createPublicKey(createPrivateKey({ key: der, format: "der", type: "pkcs8" }));
  return Buffer.from(key.export({ format: "jwk" }).x ?? "", "base64url");
}

function publicText(point: Buffer, comment: string): string {
  return `${TYPE} ${publicBlob(point).toString("base64")} ${comment}`.trim();
}

function publicBlob(point: Buffer): Buffer {
  return Buffer.concat([field(TYPE), field(point)]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function field(value: string | Buffer): Buffer {
  const bytes = typeof value === "string" ? Buffer.from(value, "utf8") : value;
  return Buffer.concat([uint32(bytes.length), bytes]);
}

/** Reads length-prefixed fields; undefined past the end, which the caller takes as "not a key". */
function reader(bytes: Buffer) {
  let at = 0;
  function take(length: number): Buffer | undefined {
    if (at + length > bytes.length) return undefined;
    at += length;
    return bytes.subarray(at - length, at);
  }
  return {
    take,
    field(): Buffer | undefined {
      const length = take(4)?.readUInt32BE(0);
      return length === undefined ? undefined : take(length);
    },
  };
}
