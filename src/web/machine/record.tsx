/** The machine's record as JSON, and its name, which can be changed. */
import { useState } from "preact/hooks";
import type { Vm } from "#api/vm.ts";
import { go, vmHref } from "#web/app/route.ts";
import { daemon } from "#web/link/daemon.ts";
import { putMachine } from "#web/link/machines.ts";
import { runTask } from "#web/link/tasks.ts";
import { Button } from "#web/parts/button.tsx";
import { Copyable } from "#web/parts/copy.tsx";
import { Field } from "#web/parts/field.tsx";
import { visible } from "#web/parts/visible.ts";

export function RecordTab({ vm }: { vm: Vm }) {
  const [name, setName] = useState(vm.name);
  const rename = async () => {
    const renamed = await runTask(`Rename ${vm.name}`, () =>
      daemon.vm.rename({ name: vm.id, to: name }),
    );
    if (!renamed) return;
    putMachine(renamed);
    go(vmHref(renamed.name, "record"));
  };
  return (
    <>
      <form
        class="inline-form"
        onSubmit={(event) => {
          event.preventDefault();
          void rename();
        }}
      >
        <Field label="Name" value={name} onInput={setName} isMono />
        <Button type="submit" isDisabled={name === vm.name || name === ""}>
          Rename
        </Button>
      </form>
      <p>
        <Copyable text={`banger vm show ${vm.name} --json`} label="Copy command" />
      </p>
      <pre class="log" tabIndex={0}>
        {visible(JSON.stringify(vm, undefined, 2))}
      </pre>
    </>
  );
}
