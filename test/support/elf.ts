/** Builds minimal ELF files, kernel images and modules. */

const HEADER_BYTES = 64;

export interface ElfParts {
  machine?: number;
  /** Section name to content. */
  sections?: Record<string, Uint8Array>;
  /** Content of a note segment. */
  notes?: Uint8Array;
}

export function makeElf({ machine = 62, sections = {}, notes }: ElfParts = {}): Buffer {
  const names = ["", ...Object.keys(sections), ".shstrtab"];
  const nameTable = Buffer.from(`${names.join("\0")}\0`);
  const contents = [Buffer.alloc(0), ...Object.values(sections), nameTable];
  const programAt = HEADER_BYTES;
  let at = programAt + (notes ? 56 : 0);
  const noteAt = at;
  at += notes?.length ?? 0;
  const offsets = contents.map((content) => {
    const start = at;
    at += content.length;
    return start;
  });
  const file = Buffer.alloc(at + contents.length * 64);
  file.write("\x7fELF\x02\x01\x01", "latin1");
  file.writeUInt16LE(2, 16);
  file.writeUInt16LE(machine, 18);
  file.writeBigUInt64LE(BigInt(programAt), 32);
  file.writeBigUInt64LE(BigInt(at), 40);
  file.writeUInt16LE(notes ? 1 : 0, 56);
  file.writeUInt16LE(contents.length, 60);
  file.writeUInt16LE(contents.length - 1, 62);
  if (notes) {
    file.writeUInt32LE(4, programAt);
    file.writeBigUInt64LE(BigInt(noteAt), programAt + 8);
    file.writeBigUInt64LE(BigInt(notes.length), programAt + 32);
    file.set(notes, noteAt);
  }
  for (const [index, content] of contents.entries()) {
    file.set(content, offsets[index]);
    const header = at + index * 64;
    const nameAt = names.slice(0, index).reduce((sum, name) => sum + name.length + 1, 0);
    file.writeUInt32LE(nameAt, header);
    file.writeBigUInt64LE(BigInt(offsets[index] ?? 0), header + 24);
    file.writeBigUInt64LE(BigInt(content.length), header + 32);
  }
  return file;
}

/** A note as in a kernel that can be entered directly. */
export function xenNote(type: number): Buffer {
  const note = Buffer.alloc(12 + 4 + 8);
  note.writeUInt32LE(4, 0);
  note.writeUInt32LE(8, 4);
  note.writeUInt32LE(type, 8);
  note.write("Xen\0", 12);
  return note;
}

/** A module that says `info` of itself, each "key=value". */
export function makeModule(...info: string[]): Buffer {
  return makeElf({ sections: { ".modinfo": Buffer.from(`${info.join("\0")}\0`) } });
}

/** A bzImage around `payload`. */
export function makeBzImage(payload: Uint8Array, version = "6.12.1-test"): Buffer {
  const setup = Buffer.alloc(3 * 512);
  setup[0x1f1] = 2;
  setup.write("HdrS", 0x202);
  setup.writeUInt16LE(0x020f, 0x206);
  setup.writeUInt16LE(0x300, 0x20e);
  setup.write(`${version} (someone@somewhere) #1\0`, 0x500);
  const code = Buffer.alloc(100, 0x90);
  setup.writeUInt32LE(code.length, 0x248);
  setup.writeUInt32LE(payload.length, 0x24c);
  return Buffer.concat([setup, code, payload, Buffer.alloc(64)]);
}
