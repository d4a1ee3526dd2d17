/** Unified diffs, as lines by kind. All of the text is a guest's: it is only ever cut. */

export type LineKind = "added" | "removed" | "hunk" | "same" | "note";

export interface PatchLine {
  kind: LineKind;
  text: string;
}

export interface PatchFile {
  /** As the patch names it. */
  name: string;
  added: number;
  removed: number;
  isBinary: boolean;
  /** In front of the first hunk. */
  head: readonly string[];
  lines: readonly PatchLine[];
}

/** Only lines outside of hunks begin files: inside, the counts of the hunk say how many are its own. */
export function parsePatch(patch: string): PatchFile[] {
  const files: Building[] = [];
  let left = { before: 0, after: 0 };
  const text = patch.endsWith("\n") ? patch.slice(0, -1) : patch;
  for (const line of text === "" ? [] : text.split("\n")) {
    const file = files.at(-1);
    if (file && (left.before > 0 || left.after > 0)) {
      left = take(file, line, left);
      continue;
    }
    const hunk = /^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@/.exec(line);
    if (line.startsWith("diff --git ")) files.push(newFile(line));
    else if (file && hunk) {
      left = { before: Number(hunk[1] ?? 1), after: Number(hunk[2] ?? 1) };
      file.lines.push({ kind: "hunk", text: line });
    } else if (file && line.startsWith("\\")) file.lines.push({ kind: "note", text: line });
    else if (file) addHead(file, line);
  }
  return files;
}

interface Building extends PatchFile {
  head: string[];
  lines: PatchLine[];
}

interface Left {
  before: number;
  after: number;
}

function newFile(line: string): Building {
  const rest = line.slice("diff --git ".length);
  // "a/NAME b/NAME": what follows may name it better.
  const half = rest.slice(rest.length / 2 + 1);
  return { name: unprefixed(half), added: 0, removed: 0, isBinary: false, head: [line], lines: [] };
}

function addHead(file: Building, line: string): void {
  file.head.push(line);
  const [, name] = /^(?:\+\+\+|---|rename to|copy to) (.*)$/.exec(line) ?? [];
  if (name !== undefined && name !== "/dev/null") {
    file.name = /^[+-]/.test(line) ? unprefixed(name.replace(/\t$/, "")) : name;
  }
  if (/^(Binary files |GIT binary patch)/.test(line)) file.isBinary = true;
}

function take(file: Building, line: string, { before, after }: Left): Left {
  const { lines } = file;
  if (line.startsWith("+")) {
    file.added++;
    lines.push({ kind: "added", text: line });
    return { before, after: after - 1 };
  }
  if (line.startsWith("-")) {
    file.removed++;
    lines.push({ kind: "removed", text: line });
    return { before: before - 1, after };
  }
  if (line.startsWith("\\")) {
    lines.push({ kind: "note", text: line });
    return { before, after };
  }
  lines.push({ kind: "same", text: line });
  return { before: before - 1, after: after - 1 };
}

function unprefixed(name: string): string {
  return name.replace(/^("?)[ab]\//, "$1");
}
