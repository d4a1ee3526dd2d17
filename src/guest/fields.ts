/** Lists of tag, length and value, the payload of control frames and of the boot record. */

import { BangerError } from "#base/error.ts";
import { markControls } from "#base/printable.ts";
import { bytesOfText } from "#base/raw-text.ts";

const FIELD_HEADER_BYTES = 6;
/** More fields than this in one list is an attack, not an answer. */
export const MAX_FIELDS = 4096;
/** Texts of the guest are cut here unless the reader asks for less. */
export const MAX_TEXT_BYTES = 16_384;

/** Collects fields; `finish` gives the bytes. */
export class FieldWriter {
  readonly #parts: Uint8Array[] = [];
  #size = 0;

  bytes(tag: number, value: Uint8Array): this {
    const header = new Uint8Array(FIELD_HEADER_BYTES);
    const view = new DataView(header.buffer);
    view.setUint16(0, tag, true);
    view.setUint32(2, value.length, true);
    this.#parts.push(header, value);
    this.#size += header.length + value.length;
    return this;
  }

  text(tag: number, value: string): this {
    return this.bytes(tag, bytesOfText(value));
  }

  /** Written as 8 bytes. */
  number(tag: number, value: number | bigint): this {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
    return this.bytes(tag, bytes);
  }

  /** The fields of a list that is written already. */
  list(fields: Uint8Array): this {
    this.#parts.push(fields);
    this.#size += fields.length;
    return this;
  }

  finish(): Uint8Array {
    const all = new Uint8Array(this.#size);
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
}

/** A parsed list. Readers give undefined for a tag that is not there, the last value where it repeats. */
export class Fields {
  readonly #values = new Map<number, Uint8Array[]>();

  /** Fails with a `guest` error on a list that does not end where its bytes end. Values are views. */
  static parse(payload: Uint8Array, fieldsMax = MAX_FIELDS): Fields {
    const fields = new Fields();
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    let count = 0;
    for (let at = 0; at < payload.length; ) {
      if (payload.length - at < FIELD_HEADER_BYTES || ++count > fieldsMax) throw malformed();
      const tag = view.getUint16(at, true);
      const length = view.getUint32(at + 2, true);
      at += FIELD_HEADER_BYTES;
      if (tag === 0 || length > payload.length - at) throw malformed();
      const list = fields.#values.get(tag) ?? [];
      list.push(payload.subarray(at, at + length));
      fields.#values.set(tag, list);
      at += length;
    }
    return fields;
  }

  has(tag: number): boolean {
    return this.#values.has(tag);
  }

  bytes(tag: number): Uint8Array | undefined {
    return this.#values.get(tag)?.at(-1);
  }

  /** Every value of a repeated tag, in order. */
  list(tag: number): readonly Uint8Array[] {
    return this.#values.get(tag) ?? [];
  }

  /** Printable text: control characters but tab and newline are replaced, so that it can be shown. */
  text(tag: number, max_bytes = MAX_TEXT_BYTES): string | undefined {
    const value = this.bytes(tag);
    return value && printable(value, max_bytes);
  }

  texts(tag: number, max_bytes = MAX_TEXT_BYTES): string[] {
    return this.list(tag).map((value) => printable(value, max_bytes));
  }

  /** A number that JavaScript holds exactly. */
  number(tag: number): number | undefined {
    const value = this.big(tag);
    if (value === undefined) return undefined;
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw malformed();
    return Number(value);
  }

  big(tag: number): bigint | undefined {
    const value = this.bytes(tag);
    if (value === undefined) return undefined;
    if (value.length === 0 || value.length > 8) throw malformed();
    let number = 0n;
    for (const byte of value.toReversed()) number = (number << 8n) | BigInt(byte);
    return number;
  }
}

function printable(value: Uint8Array, max_bytes: number): string {
  const text = new TextDecoder().decode(value.subarray(0, max_bytes));
  return markControls(text, { layout: true });
}

function malformed(): BangerError {
  return new BangerError("guest", "protocol error from the guest agent: malformed fields");
}
