import type { Vm } from "#api/vm.ts";
import { writeOut } from "#base/stdio.ts";
import type { Handler } from "#cli/context.ts";
import { makeConsoleFilter } from "#cli/print/console.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.logs> = async ({ args, flags }, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const filter = makeConsoleFilter({ color: output.hasColor("stdout") });
  const chunks = await client.vm.logs(
    {
      name: args.vm,
      follow: flags.follow,
      console: flags.console,
      tail: flags.tail,
    },
    { signal: interrupt.signal },
  );
  let isEmpty = true;
  for await (const chunk of chunks) {
    isEmpty &&= chunk.text === "";
    if (output.json) await output.item(chunk, "");
    else await writeOut(filter.push(chunk.text));
  }
  if (!output.json) await writeOut(filter.end());
  if (isEmpty && flags.tail !== 0)
    output.note(whyEmpty(await client.vm.show({ name: args.vm }), flags.console === true));
};

function whyEmpty(vm: Vm, isConsole: boolean): string {
  const { name, startedAt, vmm, monitor, command, template } = vm;
  const nothing = `The console of "${name}" is empty`;
  if (!startedAt) {
    return `${nothing}: the machine has not been started yet\nhint: Start it with: banger vm start ${name}`;
  }
  if (command && !isConsole) {
    return `The command of "${name}" has printed nothing\nhint: Show the console with: banger vm logs --console ${name}`;
  }
  if (template) {
    return `${nothing}: the machine was restored from a template, and its kernel has printed nothing since`;
  }
  const driver = vmm?.driver ?? monitor;
  if (driver !== "firecracker") return `${nothing}: its kernel has printed nothing`;
  return `${nothing}: its kernel has printed nothing, or firecracker_console is "off"\nhint: Set firecracker_console = "on", then: banger daemon restart; banger vm restart ${name}`;
}
