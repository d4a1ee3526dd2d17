/** The daemon names the field of its API that it does not take; who typed a flag wants to know which. */
import { BangerError } from "#base/error.ts";
import type { CommandSpec } from "#cli/spec/types.ts";

/** Where the flag has another name than the field without its unit. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  outputMax: "max-output",
  ports: "publish",
  networks: "network",
  argv: "command",
};

export function withFlagName(thrown: unknown, { args, flags }: CommandSpec): unknown {
  if (!(thrown instanceof BangerError)) return thrown;
  const [whole, path = ""] = /^Cannot take "([\w.]+)": /.exec(thrown.message) ?? [];
  if (whole === undefined) return thrown;
  // Of "create.ports.0.host" the first part that is one of the flags or arguments.
  for (const field of path.split(".")) {
    const name = field.replace(/_[a-z]+$/, "");
    const flag =
      OTHER_NAMES[name] ?? name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const isFlag = Object.values(flags).some(({ syntax }) =>
      syntax.split(/[ ,]+/).includes(`--${flag}`),
    );
    const shown = isFlag ? `--${flag}` : Object.hasOwn(args, flag) ? flag.toUpperCase() : undefined;
    if (shown) {
      const message = `Cannot use ${shown}: ${thrown.message.slice(whole.length)}`;
      return new BangerError(thrown.code, message, { hint: thrown.hint, cause: thrown });
    }
  }
  return thrown;
}
