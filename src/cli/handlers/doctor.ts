import type { Check } from "#base/check.ts";
import { safeLine } from "#base/printable.ts";
import type { Handler } from "#cli/context.ts";
import type { Output } from "#cli/print/output.ts";
import type { root } from "#cli/spec/root.ts";

const marks = { ok: ["✓", "green"], warn: ["!", "yellow"], fail: ["✗", "red"] } as const;

export const run: Handler<typeof root.commands.doctor> = async (_, { output }) => {
  const { runDoctor } = await import("#host/doctor.ts");
  const checks = await runDoctor();
  const canRun = checks.every(({ status }) => status !== "fail");
  await output.document(checks, () => render(checks, output));
  output.note(
    canRun ? "Machines can run." : "Machines cannot run until the problems marked ✗ are fixed.",
  );
  return canRun ? 0 : 1;
};

function render(checks: readonly Check[], output: Output): string {
  const width = Math.max(...checks.map(({ title }) => Bun.stringWidth(title)), 0);
  const indent = " ".repeat(width + 4);
  return checks
    .map(({ status, title, detail, fix }) => {
      const [mark, color] = marks[status];
      const line = `${output.style(color, mark, "stdout")} ${title.padEnd(width)}  ${safeLine(detail)}`;
      return fix ? `${line}\n${indent}→ ${safeLine(fix)}` : line;
    })
    .join("\n");
}
