/** Prints what git printed of a machine: through a pager and without control sequences on a terminal, else as it is. */
import { terminalText } from "#base/printable.ts";
import { which } from "#base/run.ts";
import { writeOut } from "#base/stdio.ts";
import type { Context } from "#cli/context.ts";
import { variable } from "#config/environment.ts";

/** `text`: bytes in a string. */
export async function printPaged({ output }: Context, text: string): Promise<void> {
  const bytes = Buffer.from(text, "latin1");
  if (!process.stdout.isTTY) return await writeOut(bytes);
  const clean = terminalText(bytes.toString(), { color: output.hasColor("stdout") });
  const pager = variable("GIT_PAGER") ?? variable("PAGER") ?? (which("less") ? "less" : "cat");
  if (pager === "cat" || pager === "") return await writeOut(clean);
  const child = Bun.spawn(["/bin/sh", "-c", `LESS=\${LESS-FRX}; export LESS; ${pager}`], {
    stdin: "pipe",
    stdout: "inherit",
    stderr: "inherit",
  });
  // A pager that was left early takes no more.
  await (async () => {
    child.stdin.write(clean);
    await child.stdin.end();
  })().catch(() => {});
  await child.exited;
}
