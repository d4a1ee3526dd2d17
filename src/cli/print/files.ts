/** Prints files of machines. */
import type { DirectoryEntry, FileInfo } from "#api/file.ts";
import { formatSize } from "#base/size.ts";
import { pairs, table } from "./table.ts";

const marks: Record<FileInfo["kind"], string> = {
  file: "-",
  directory: "d",
  symlink: "l",
  fifo: "p",
  socket: "s",
  character: "c",
  block: "b",
  unknown: "?",
};

/** As `ls -l` has it: "-rwsr-xr-x". */
export function modeText({ kind, mode }: Pick<FileInfo, "kind" | "mode">): string {
  const letters = ["r", "w", "x"].map((letter, at) => [letter, at] as const);
  const part = (shift: number, special: [number, string]): string =>
    letters
      .map(([letter, at]) => {
        const isSet = ((mode >> shift) & (4 >> at)) !== 0;
        if (letter !== "x" || (mode & special[0]) === 0) return isSet ? letter : "-";
        return isSet ? special[1] : special[1].toUpperCase();
      })
      .join("");
  return marks[kind] + part(6, [0o4000, "s"]) + part(3, [0o2000, "s"]) + part(0, [0o1000, "t"]);
}

export function fileTable(entries: readonly DirectoryEntry[]): string {
  return table(
    ["MODE", "OWNER", "SIZE", "MODIFIED", "NAME"],
    entries.map((entry) => [
      modeText(entry),
      `${entry.uid}:${entry.gid}`,
      formatSize(entry.size_bytes),
      entry.modifiedAt,
      entry.target === undefined ? entry.name : `${entry.name} -> ${entry.target}`,
    ]),
  );
}

export function fileText(path: string, info: FileInfo): string {
  return pairs([
    ["Path", path],
    ["Kind", info.kind],
    ["Target", info.target],
    ["Mode", `${modeText(info)} (${info.mode.toString(8).padStart(4, "0")})`],
    ["Owner", `${info.uid}:${info.gid}`],
    ["Size", `${formatSize(info.size_bytes)} (${info.size_bytes} bytes)`],
    ["Links", String(info.links)],
    ["Modified", info.modifiedAt],
  ]);
}
