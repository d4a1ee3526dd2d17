/** Reads the files of a project, which may be someone else's: regular files in it, up to a size. */
import { existsSync, realpathSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { BangerError, messageOf } from "#base/error.ts";
import { readRegularFile } from "#base/files/regular-file.ts";
import { MiB } from "#base/size.ts";

/** A lock file of a large project has some MiB. */
const FILE_MAX_BYTES = 32 * MiB;

export class Project {
  readonly folder: string;
  /** What could not be read, and why. */
  readonly notes: string[] = [];

  constructor(path: string) {
    const folder = resolve(path);
    if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
      throw new BangerError("not_found", `Cannot read the project: "${path}" is not a directory`);
    }
    this.folder = realpathSync(folder);
  }

  has(name: string): boolean {
    return existsSync(join(this.folder, name));
  }

  /** The text of a file that must be there. Never one outside of the project, where a link of it may lead. */
  read(name: string): string {
    try {
      const path = realpathSync(join(this.folder, name));
      if (!path.startsWith(join(this.folder, "/"))) throw new Error("it leads out of the project");
      return readRegularFile(path, { max_bytes: FILE_MAX_BYTES });
    } catch (error) {
      const reason = messageOf(error);
      throw new BangerError("invalid_argument", `Cannot read ${name} of the project: ${reason}`, {
        cause: error,
      });
    }
  }

  /** The text of a file, if it is there and can be read. */
  text(name: string): string | undefined {
    if (!this.has(name)) return undefined;
    try {
      return this.read(name);
    } catch (error) {
      const { cause } = error as BangerError;
      this.notes.push(`${name}: not read: ${messageOf(cause)}`);
      return undefined;
    }
  }

  /** As `text`, parsed. What cannot be parsed is noted. */
  data(name: string, parse: (text: string) => unknown): Record<string, unknown> | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    try {
      const data = parse(text.replace(/^\uFEFF/, ""));
      if (isRecord(data)) return data;
      throw new Error("not an object");
    } catch (error) {
      this.notes.push(`${name}: not read: ${messageOf(error).split("\n")[0]}`);
      return undefined;
    }
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value inside of parsed data, or undefined. */
export function at(data: unknown, ...keys: string[]): unknown {
  let found = data;
  for (const key of keys)
    found = isRecord(found) && Object.hasOwn(found, key) ? found[key] : undefined;
  return found;
}
