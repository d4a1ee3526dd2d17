/** Paths of a workspace: bytes in latin1 strings, relative, with "/" between their parts. */
import { markControls } from "#base/printable.ts";

export function toBytes(name: string): Buffer {
  return Buffer.from(name, "latin1");
}

/** The name as text; undefined if it is not UTF-8. */
export function toText(name: string): string | undefined {
  const bytes = toBytes(name);
  const text = bytes.toString();
  return Buffer.from(text).equals(bytes) ? text : undefined;
}

/** For a message. */
export function shownName(name: string): string {
  return markControls(toBytes(name).toString());
}

export function parentOf(name: string): string {
  const slash = name.lastIndexOf("/");
  return slash < 0 ? "" : name.slice(0, slash);
}

export function joinName(folder: string, name: string): string {
  return folder === "" ? name : `${folder}/${name}`;
}

export function splitNul(text: string): string[] {
  return text.split("\0").filter((part) => part !== "");
}

/** "a, b, c and 12 more" */
export function someOf(names: readonly string[], max = 10): string {
  const shown = names.slice(0, max).map(shownName).join(", ");
  return names.length > max ? `${shown} and ${names.length - max} more` : shown;
}
