/**
 * The index files of kmod, "modules.dep.bin" and others: a radix tree of keys, written children first. modprobe
 * reads only these. Numbers are big-endian; an offset has flags in its high bits that tell which parts a node has.
 */

const MAGIC = 0xb007f457;
const VERSION = 0x00020001;
const HAS_PREFIX = 0x80000000;
const HAS_VALUES = 0x40000000;
const HAS_CHILDREN = 0x20000000;
/** Keys with other characters are omitted: children are indexed by ASCII codes. */
const KEY_CODES = 128;

export interface IndexEntry {
  key: string;
  value: string;
  /** Of the values of one key, the lowest comes first. */
  priority: number;
}

export function binaryIndex(entries: readonly IndexEntry[]): Uint8Array {
  const sorted = entries
    .filter(({ key }) => Buffer.from(key).every((code) => code < KEY_CODES))
    .toSorted((a, b) => compare(a.key, b.key) || a.priority - b.priority);
  const output: Uint8Array[] = [];
  let length = 0;
  const append = (...parts: Uint8Array[]): void => {
    for (const part of parts) {
      output.push(part);
      length += part.length;
    }
  };
  const root = numbers(0);
  append(numbers(MAGIC, VERSION), root);
  const writeNode = (found: readonly IndexEntry[], depth: number): number => {
    const prefix = commonPrefix(found, depth);
    const end = depth + prefix.length;
    const values = found.filter(({ key }) => key.length === end);
    const byNext = Map.groupBy(
      found.filter(({ key }) => key.length > end),
      ({ key }) => key.charCodeAt(end),
    );
    const codes = [...byNext.keys()].sort((a, b) => a - b);
    const [first = 0, last = -1] = [codes[0], codes.at(-1)];
    const children: number[] = [];
    for (let code = first; code <= last; code++) {
      const below = byNext.get(code);
      children.push(below ? writeNode(below, end + 1) : 0);
    }
    let offset = length;
    if (prefix !== "") {
      append(text(prefix));
      offset += HAS_PREFIX;
    }
    if (children.length > 0) {
      append(Uint8Array.of(first, last), numbers(...children));
      offset += HAS_CHILDREN;
    }
    if (values.length > 0) {
      append(numbers(values.length));
      for (const { priority, value } of values) append(numbers(priority), text(value));
      offset += HAS_VALUES;
    }
    return offset;
  };
  root.set(numbers(writeNode(sorted, 0)));
  return Buffer.concat(output);
}

function commonPrefix(sorted: readonly IndexEntry[], depth: number): string {
  const first = sorted[0]?.key ?? "";
  const last = sorted.at(-1)?.key ?? "";
  let end = depth;
  while (end < first.length && first[end] === last[end]) end++;
  return first.slice(depth, end);
}

function numbers(...values: number[]): Uint8Array {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => {
    bytes.writeUInt32BE(value, index * 4);
  });
  return bytes;
}

function text(value: string): Uint8Array {
  return Buffer.from(`${value}\0`);
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
