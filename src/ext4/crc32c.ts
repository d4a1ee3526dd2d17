/** CRC-32C (Castagnoli), the checksum of every piece of ext4 metadata. Bun and Node offer only the zlib polynomial. */

/** The polynomial 0x1EDC6F41 with its bits reversed. */
const POLYNOMIAL = 0x82f63b78;

/** Eight tables of 256: table[k][b] is the effect of byte b followed by k zero bytes. */
const tables = makeTables();

/**
 * Continues the raw register `crc` (no inversion before or after, as ext4 uses it) over
 * `bytes[start..end)`. The usual CRC-32C of a message is `~crc32c(~0, message) >>> 0`.
 */
export function crc32c(crc: number, bytes: Uint8Array, start = 0, end = bytes.length): number {
  const t = tables;
  let position = start;
  let low = crc;
  const wide = end - ((end - start) & 7);
  while (position < wide) {
    low ^=
      at(bytes, position) |
      (at(bytes, position + 1) << 8) |
      (at(bytes, position + 2) << 16) |
      (at(bytes, position + 3) << 24);
    low =
      word(t, 1792 + (low & 255)) ^
      word(t, 1536 + ((low >>> 8) & 255)) ^
      word(t, 1280 + ((low >>> 16) & 255)) ^
      word(t, 1024 + (low >>> 24)) ^
      word(t, 768 + at(bytes, position + 4)) ^
      word(t, 512 + at(bytes, position + 5)) ^
      word(t, 256 + at(bytes, position + 6)) ^
      word(t, at(bytes, position + 7));
    position += 8;
  }
  for (; position < end; position++) {
    low = (low >>> 8) ^ word(t, (low ^ at(bytes, position)) & 255);
  }
  return low >>> 0;
}

/** Continues `crc` over the four bytes of a little-endian number. */
export function crc32cWord(crc: number, value: number): number {
  const t = tables;
  const low = crc ^ value;
  return (
    (word(t, 768 + (low & 255)) ^
      word(t, 512 + ((low >>> 8) & 255)) ^
      word(t, 256 + ((low >>> 16) & 255)) ^
      word(t, low >>> 24)) >>>
    0
  );
}

function at(bytes: Uint8Array, index: number): number {
  return bytes[index] as number;
}

function word(table: Int32Array, index: number): number {
  return table[index] as number;
}

function makeTables(): Int32Array {
  const result = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? POLYNOMIAL : 0);
    result[byte] = value;
  }
  for (let index = 256; index < result.length; index++) {
    const previous = word(result, index - 256);
    result[index] = (previous >>> 8) ^ word(result, previous & 255);
  }
  return result;
}
