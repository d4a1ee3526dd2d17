/** Labels as docker has them: "NAME=VALUE", or "NAME" for an empty value. */

export function labelsOf(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(texts.map(splitLabel));
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
