/** Versions as projects pin them, reduced to what a shell in a machine can check. */

export interface Version {
  /** "exactly" 3.11 is met by 3.11 and 3.11.4, not by 3.12. */
  kind: "exactly" | "atLeast";
  /** Numbers with dots, of at most four parts: safe in a shell. */
  number: string;
}

const NUMBER = /^\d{1,6}(\.\d{1,6}){0,3}$/;

/**
 * Reads ">=20", "^20.1", "~3.11", "20.x", "v20.1.0", "==3.11.*" or "18 || 20", of which the last counts. Undefined for
 * what is no version, such as "latest" or "lts/iron".
 */
export function parseVersion(text: string): Version | undefined {
  const last = text.split("||").at(-1)?.trim() ?? "";
  // An upper limit next to a lower one says nothing that the lower one does not, in nearly all projects.
  const first = last.split(/\s*,\s*|\s+(?=[<>=~^])|\s+-\s+/)[0] ?? "";
  const match = /^(>=|===?|~=|~>|=|\^|~|>|<=?|!=)?\s*v?(\d[\d.]*)(?:\.[x*])*$/i.exec(first);
  if (!match) return undefined;
  const [, operator = "", digits = ""] = match;
  const number = digits.replace(/\.+$/, "");
  if (!NUMBER.test(number)) return undefined;
  const parts = number.split(".");
  switch (operator) {
    case ">=":
    case ">":
    case "~=":
      return { kind: "atLeast", number };
    case "^": {
      // Before 1.0 a minor version may break things, as npm and Cargo have it.
      const kept = parts[0] === "0" ? 2 : 1;
      return { kind: "exactly", number: parts.slice(0, kept).join(".") };
    }
    case "~":
      return { kind: "exactly", number: parts.slice(0, 2).join(".") };
    case "~>":
      return { kind: "exactly", number: parts.slice(0, Math.max(1, parts.length - 1)).join(".") };
    case "<":
    case "<=":
    case "!=":
      return undefined;
    default:
      return { kind: "exactly", number };
  }
}

export function describeVersion({ kind, number }: Version): string {
  return kind === "exactly" ? number : `${number} or later`;
}

/** As the scripts of dockerfile.ts do it in a machine. */
export function doesMeet(number: string, { kind, number: wanted }: Version): boolean {
  if (kind === "exactly") return `${number}.`.startsWith(`${wanted}.`);
  const parts = number.split(".").map(Number);
  for (const [index, least] of wanted.split(".").map(Number).entries()) {
    const part = parts[index] ?? 0;
    if (part !== least) return part > least;
  }
  return true;
}
