/** Replaces API fields in the daemon's errors by the flag or argument that the user typed. */
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
  volumes: "volume",
  shares: "volume",
  shm: "shm-size",
  sysctls: "sysctl",
  ulimits: "ulimit",
  disk_bytes_per: "disk-bandwidth",
  disk_operations_per: "disk-iops",
  net_in_bytes_per: "net-bandwidth",
  net_out_bytes_per: "net-bandwidth",
};

/** As src/api/image.ts puts it. */
const IMAGE_NAME = /^image names can contain /;

/** What was typed. */
interface Given {
  args?: Readonly<Record<string, unknown>>;
  flags?: Readonly<Record<string, unknown>>;
}

/** `given` tells which it was of what can be an argument or a flag. */
export function withFlagName(
  thrown: unknown,
  { args, flags }: CommandSpec,
  given: Given = {},
): unknown {
  if (!(thrown instanceof BangerError)) return thrown;
  const [whole, path = ""] = /^invalid value for "([^"]+)": /.exec(thrown.message) ?? [];
  if (whole === undefined) return thrown;
  const shownAs = (word: string): string | undefined => {
    const isFlag = Object.values(flags).some(({ syntax }) =>
      syntax.split(/[ ,]+/).includes(`--${word}`),
    );
    const isArg = Object.hasOwn(args, word);
    if (isArg && (!isFlag || typeof given.args?.[word] === "string")) return word.toUpperCase();
    return isFlag ? `--${word}` : undefined;
  };
  // Of "create.ports.0.host" the first part that is one of the flags or arguments.
  for (const field of path.split(".")) {
    const name = field.replace(/_[a-z]+$/, "");
    const own = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const other = Object.hasOwn(OTHER_NAMES, name) ? OTHER_NAMES[name] : undefined;
    const shown = [own, other].map((word) => word && shownAs(word)).find((word) => word);
    if (shown) {
      const why = thrown.message.slice(whole.length);
      const hint = thrown.hint ?? (IMAGE_NAME.test(why) ? nameHint(shown, given) : undefined);
      return new BangerError(thrown.code, `invalid value for ${shown}: ${why}`, {
        hint,
        cause: thrown,
      });
    }
  }
  return thrown;
}

/** For what docker takes as a name, which may have a registry, upper-case letters and a tag. */
function nameHint(shown: string, { args, flags }: Given): string | undefined {
  const isFlag = shown.startsWith("--");
  const typed = isFlag ? flags?.[shown.slice(2)] : args?.[shown.toLowerCase()];
  if (typeof typed !== "string") return undefined;
  const name = (typed.split("@")[0]?.split("/").at(-1) ?? "")
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, "-")
    .replaceAll(/^[^a-z0-9]+|[^a-z0-9]+$/g, "");
  if (name === "") return undefined;
  return `Image names have no registry or tag: ${isFlag ? `${shown} ` : ""}${name}`;
}
