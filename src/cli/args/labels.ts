/** Parses labels as docker does: "NAME=VALUE", or "NAME" for an empty value. */
import { labelName } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";

/** Throws `invalid_argument` that names what was typed. */
export function labelsOf(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const [name, value] = splitLabel(text);
      const { error } = labelName.safeParse(name);
      if (!error) return [name, value];
      const shown = text.length > 100 ? `${text.slice(0, 100)}…` : text;
      throw new BangerError(
        "invalid_argument",
        `invalid value for --label "${shown}": ${error.issues[0]?.message}`,
        { hint: "Use NAME=VALUE, or NAME for an empty value" },
      );
    }),
  );
}

/** Whether labels have all that is wanted: "NAME=VALUE", or "NAME" with any value. */
export function hasLabels(
  labels: Readonly<Record<string, string>> = {},
  wanted: readonly string[],
): boolean {
  return wanted.every((text) => {
    const [name, value] = splitLabel(text);
    return Object.hasOwn(labels, name) && (!text.includes("=") || labels[name] === value);
  });
}

function splitLabel(text: string): [string, string] {
  const at = text.indexOf("=");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}
