/** Changes one table in a TOML file of the user's, and leaves the rest as it is. */
import { stringify } from "smol-toml";

/** Lines of the table `path`, and of tables below it, are replaced; it is appended where there is none. */
export function setToml(text: string, path: readonly string[], value: object): string {
  const header = `[${path.join(".")}]`;
  const block = `${header}\n${stringify(value).trimEnd()}\n`;
  const lines = text === "" ? [] : text.replace(/\n$/, "").split("\n");
  const names = lines.map(tableOf);
  const start = names.indexOf(path.join("."));
  if (start === -1) {
    const before = lines.length === 0 ? "" : `${lines.join("\n")}\n\n`;
    return `${before}${block}`;
  }
  const own = path.join(".");
  let end = start + 1;
  while (end < lines.length) {
    const name = names[end];
    if (name !== undefined && name !== own && !name.startsWith(`${own}.`)) break;
    end++;
  }
  // What stands above the next table belongs to that.
  while (end > start + 1 && /^\s*(#.*)?$/.test(lines[end - 1] ?? "")) end--;
  return [...lines.slice(0, start), block.trimEnd(), ...lines.slice(end), ""].join("\n");
}

/** Undefined for a line that begins no table; an array of tables has its brackets. */
function tableOf(line: string): string | undefined {
  const [, name] = /^\s*\[([^[\]]+|\[[^[\]]+\])\]\s*(?:#.*)?$/.exec(line) ?? [];
  return name?.replace(/["'\s]/g, "");
}
