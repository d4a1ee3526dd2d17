/** Builds tar archives and layers, invalid ones included. */
import { gzipSync } from "node:zlib";
import { type Digest, sha256 } from "#base/digest.ts";
import type { Layer } from "#oci/layer.ts";

export interface TarSpec {
  name: string | Uint8Array;
  /** The type byte; default "0", a file. */
  type?: string;
  content?: string | Uint8Array;
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  linkName?: string | Uint8Array;
  major?: number;
  minor?: number;
  /** Overrides the size in the header. */
  size?: number;
  /** Records of an extended header before the entry. */
  pax?: Record<string, string | Uint8Array>;
  /** Bytes put over the finished header, before its checksum is made. */
  patch?: (header: Buffer) => void;
}

const BLOCK_BYTES = 512;

/** The entries and, unless it is left out, the end of the archive. */
export function makeTar(specs: readonly TarSpec[], hasEnd = true): Buffer {
  const parts = specs.flatMap(entryParts);
  if (hasEnd) parts.push(Buffer.alloc(2 * BLOCK_BYTES));
  return Buffer.concat(parts);
}

export function dir(name: string, rest: Partial<TarSpec> = {}): TarSpec {
  return { name: `${name}/`, type: "5", mode: 0o755, ...rest };
}

export function file(
  name: string,
  content: string | Uint8Array = name,
  rest: Partial<TarSpec> = {},
): TarSpec {
  return { name, content, ...rest };
}

export function symlink(name: string, linkName: string | Uint8Array): TarSpec {
  return { name, type: "2", linkName, mode: 0o777 };
}

export function hardLink(name: string, linkName: string): TarSpec {
  return { name, type: "1", linkName };
}

/** A layer of bytes that are in memory. `chunk_bytes`: how many come at once. */
export function makeLayer(
  tar: Uint8Array,
  options: { stored?: Uint8Array; chunk_bytes?: number; diffId?: Digest } = {},
): Layer {
  const stored = options.stored ?? gzipSync(tar);
  const step = options.chunk_bytes ?? 65_536;
  return {
    digest: sha256(stored),
    diffId: options.diffId ?? sha256(tar),
    size: stored.length,
    mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
    async *compressed() {
      for (let at = 0; at < stored.length; at += step) yield stored.subarray(at, at + step);
    },
  };
}

/** One record "LENGTH KEY=VALUE\n", whose length counts itself. */
export function paxRecord(key: string, value: string | Uint8Array): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), bytesOf(value), Buffer.from("\n")]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length++;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function entryParts(spec: TarSpec): Buffer[] {
  const content = bytesOf(spec.content ?? "");
  const parts: Buffer[] = [];
  if (spec.pax) {
    const records = Object.entries(spec.pax).map(([key, value]) => paxRecord(key, value));
    parts.push(...entryParts({ name: "PaxHeaders/x", type: "x", content: Buffer.concat(records) }));
  }
  parts.push(makeHeader(spec, content.length), padded(content));
  return parts;
}

function makeHeader(spec: TarSpec, length: number): Buffer {
  const header = Buffer.alloc(BLOCK_BYTES);
  bytesOf(spec.name).copy(header, 0, 0, 100);
  putOctal(header, 100, 7, spec.mode ?? 0o644);
  putOctal(header, 108, 7, spec.uid ?? 0);
  putOctal(header, 116, 7, spec.gid ?? 0);
  putOctal(header, 124, 11, spec.size ?? length);
  putOctal(header, 136, 11, spec.mtime ?? 0);
  header.write(spec.type ?? "0", 156, "latin1");
  bytesOf(spec.linkName ?? "").copy(header, 157, 0, 100);
  header.write("ustar\0" + "00", 257, "latin1");
  putOctal(header, 329, 7, spec.major ?? 0);
  putOctal(header, 337, 7, spec.minor ?? 0);
  spec.patch?.(header);
  seal(header);
  return header;
}

function seal(header: Buffer): void {
  header.fill(0x20, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}

function putOctal(header: Buffer, at: number, digits: number, value: number): void {
  header.write(value.toString(8).padStart(digits, "0").slice(-digits), at, "latin1");
}

function padded(content: Buffer): Buffer {
  const over = content.length % BLOCK_BYTES;
  return over === 0 ? content : Buffer.concat([content, Buffer.alloc(BLOCK_BYTES - over)]);
}

function bytesOf(value: string | Uint8Array): Buffer {
  return typeof value === "string" ? Buffer.from(value) : Buffer.from(value);
}
