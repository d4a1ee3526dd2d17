import { safeText } from "#base/printable.ts";
import type { Handler } from "#cli/context.ts";
import { table } from "#cli/print/table.ts";
import type { dnsCommands } from "#cli/spec/setup.ts";

export const run: Handler<typeof dnsCommands.commands.setup> = async (_, { output }) => {
  const { runNamesSetup } = await import("#host/dns-setup.ts");
  const setup = await runNamesSetup();
  await output.document(setup, () =>
    setup.kind === "by hand"
      ? safeText(setup.advice)
      : table(
          ["STEP", "WHAT"],
          setup.commands.map((argv) => ["run", argv.join(" ")]),
        ),
  );
};
