/** The names in a directory of the host, without following symlinks; empty directories as well. */
import { lstatSync, readdirSync } from "node:fs";

export async function* walkFolder(top: string): AsyncGenerator<string> {
  yield* namesBelow(Buffer.from(top), "");
}

function* namesBelow(path: Buffer, folder: string): Generator<string> {
  const names = readdirSync(path, { encoding: "buffer" });
  if (names.length === 0 && folder !== "") yield folder;
  for (const name of names) {
    const below = Buffer.concat([path, Buffer.from("/"), name]);
    const full = `${folder === "" ? "" : `${folder}/`}${name.toString("latin1")}`;
    if (lstatSync(below, { throwIfNoEntry: false })?.isDirectory()) yield* namesBelow(below, full);
    else yield full;
  }
}
