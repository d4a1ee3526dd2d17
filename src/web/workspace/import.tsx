import { useState } from "preact/hooks";
import type { Vm } from "#api/vm.ts";
import { finish } from "#sdk/stream.ts";
import { daemon } from "#web/link/daemon.ts";
import { runTask } from "#web/link/tasks.ts";
import { Button } from "#web/parts/button.tsx";
import { Copyable } from "#web/parts/copy.tsx";
import { Field } from "#web/parts/field.tsx";
import { shellWord } from "#web/parts/format.ts";

export function ImportForm({ vm, onDone }: { vm: Vm; onDone: () => void }) {
  const [source, setSource] = useState("");
  const path = source.trim();
  const isRight = path.startsWith("/");
  const take = async (): Promise<void> => {
    if (await importWorkspace(vm, path)) onDone();
  };
  return (
    <form
      class="import-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (isRight) void take();
      }}
    >
      <Field
        label="Directory on the host"
        value={source}
        onInput={setSource}
        placeholder="/home/me/src/app"
        problem={path === "" || isRight ? undefined : "an absolute path"}
        isMono
      />
      <Button type="submit" kind="main" isDisabled={!isRight || vm.state !== "running"}>
        Import to /workspace
      </Button>
      {isRight && (
        <Copyable
          text={`banger vm workspace import ${vm.name} ${shellWord(path)}`}
          label="Copy command"
        />
      )}
    </form>
  );
}

export function importLabel({ name }: Pick<Vm, "name">, source: string): string {
  return `Import ${source} into ${name}`;
}

export async function importWorkspace(
  vm: Pick<Vm, "id" | "name">,
  source: string,
  path?: string,
): Promise<boolean> {
  const imported = await runTask(
    importLabel(vm, source),
    ({ onProgress, signal }) =>
      finish(
        daemon.workspace.import({ name: vm.id, source, ...(path ? { path } : {}) }, { signal }),
        onProgress,
      ),
    { isLong: true },
  );
  return imported !== undefined;
}
