/** The daemon names the field of its API that it does not take; who typed a flag wants to know which. */
import { BangerError } from "#base/error.ts";
import type { CommandSpec } from "#cli/spec/types.ts";

/** Where the flag has another name than the field without its unit. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  outputMax: "max-output",
  ports: "publish",
  networks: "network",
  argv: "command",
  to: "name",
  labels: "label",
};

/** `given`: the arguments as they were typed, for what can be an argument or a flag. */
export function withFlagName(
  thrown: unknown,
  { args, flags }: CommandSpec,
  given: Readonly<Record<string, unknown>> = {},
): unknown {
  if (!(thrown instanceof BangerError)) return thrown;
  const [whole, path = ""] = /^Cannot take "([^"]+)": /.exec(thrown.message) ?? [];
  if (whole === undefined) return thrown;
  const shownAs = (word: string): string | undefined => {
    const isFlag = Object.values(flags).some(({ syntax }) =>
      syntax.split(/[ ,]+/).includes(`--${word}`),
    );
    const isArg = Object.hasOwn(args, word);
    if (isArg && (!isFlag || typeof given[word] === "string")) return word.toUpperCase();
    return isFlag ? `--${word}` : undefined;
  };
  // Of "create.ports.0.host" the first part that is one of the flags or arguments.
  for (const field of path.split(".")) {
    const name = field.replace(/_[a-z]+$/, "");
    const own = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const other = Object.hasOwn(OTHER_NAMES, name) ? OTHER_NAMES[name] : undefined;
    const shown = [own, other].map((word) => word && shownAs(word)).find((word) => word);
    if (shown) {
      const message = `Cannot use ${shown}: ${thrown.message.slice(whole.length)}`;
      return new BangerError(thrown.code, message, { hint: thrown.hint, cause: thrown });
    }
  }
  return thrown;
}
