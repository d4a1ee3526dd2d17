/** Generates images to pull, with the same content on every host. */
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { MiB } from "#base/size.ts";
import { TAR_END, tarHeader, tarPadding } from "#tar/write.ts";
import { makeLayout } from "#test/oci-layout.ts";

const CACHE = join(import.meta.dir, "../build/cache");
const TAG = "bench";

interface File {
  name: string;
  size: number;
}

/** 100,000 files of 0 to 8 KiB in 400 folders, in two layers. */
export function manyFilesLayout(): Promise<string> {
  const file = (index: number): File => {
    const folder = `srv/${String(index % 20).padStart(2, "0")}/${index % 400}`;
    return { name: `${folder}/file-${index}`, size: (index * 2_654_435_761) % 8192 };
  };
  const all = Array.from({ length: 100_000 }, (_, index) => file(index));
  return madeLayout("many-files", [all.slice(0, 60_000), all.slice(60_000)]);
}

/** 2 GB in files of 1 to 64 MiB, in four layers. */
export function largeLayout(): Promise<string> {
  const sizes = Array.from({ length: 96 }, (_, index) => (1 + ((index * 37) % 43)) * MiB);
  const files = sizes.map((size, index) => ({ name: `opt/large-${index}`, size }));
  const quarter = files.length / 4;
  return madeLayout(
    "large",
    [0, 1, 2, 3].map((part) => files.slice(part * quarter, (part + 1) * quarter)),
  );
}

async function madeLayout(name: string, layers: File[][]): Promise<string> {
  const layout = join(CACHE, `bench-${name}`);
  if (existsSync(layout)) return layout;
  mkdirSync(CACHE, { recursive: true });
  const scratch = mkdtempSync(`${layout}-`);
  try {
    const tars = layers.map((files, index) => {
      const path = join(scratch, `${index}.tar`);
      writeTar(path, files);
      return path;
    });
    await makeLayout(join(scratch, "layout"), tars, { tag: TAG });
    renameSync(join(scratch, "layout"), layout);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return layout;
}

function writeTar(path: string, files: readonly File[]): void {
  const fd = openSync(path, "wx");
  const content = makeContent();
  const put = (bytes: Uint8Array): void => {
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
  };
  const rest = { mode: 0o644, uid: 0, gid: 0, mtime_s: 1_700_000_000, mtime_ns: 0 };
  try {
    for (const [index, { name, size }] of files.entries()) {
      put(tarHeader({ type: "file", name: Buffer.from(name), size, ...rest }));
      for (let done = 0; done < size; ) {
        const start = ((index * 7919 + done * 31) % (content.length / 2)) & ~63;
        const count = Math.min(size - done, content.length - start);
        put(content.subarray(start, start + count));
        done += count;
      }
      put(tarPadding(size));
    }
    put(TAR_END);
  } finally {
    closeSync(fd);
  }
}

/** As compressible as programs and texts are together: runs of words, and of bytes that are like none. */
function makeContent(): Buffer {
  const content = Buffer.alloc(4 * MiB);
  let state = 1;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 8;
  };
  const words = Array.from({ length: 4096 }, () => next().toString(36));
  for (let at = 0; at < content.length; ) {
    const text = next() % 3 === 0 ? "" : `${words[next() % 4096]} ${words[next() % 256]}\n`;
    if (text) at += content.write(text, at, "latin1");
    else for (let end = at + 8; at < end && at < content.length; at++) content[at] = next();
  }
  return content;
}
