import { useState } from "preact/hooks";
import type { Vm } from "#api/vm.ts";
import type { WorkspaceCheckpoint, WorkspaceRef } from "#api/workspace/workspace.ts";
import { daemon } from "#web/link/daemon.ts";
import type { Failure } from "#web/link/failure.ts";
import { runTask } from "#web/link/tasks.ts";
import { Button } from "#web/parts/button.tsx";
import { confirm } from "#web/parts/dialog.tsx";
import { Field } from "#web/parts/field.tsx";
import { ago } from "#web/parts/format.ts";
import { Trouble } from "#web/parts/trouble.tsx";
import { visibleName } from "#web/parts/visible.ts";

interface CheckpointsProps {
  vm: Vm;
  target: WorkspaceRef;
  checkpoints: readonly WorkspaceCheckpoint[] | undefined;
  failure: Failure | undefined;
  onChanged: () => void;
  onCompare: (number: number) => void;
}

export function Checkpoints(props: CheckpointsProps) {
  const { vm, target, checkpoints, failure, onChanged, onCompare } = props;
  const [message, setMessage] = useState("");
  const save = async (): Promise<void> => {
    const input = message.trim() === "" ? target : { ...target, message: message.trim() };
    const made = await runTask(`Save a checkpoint of ${vm.name}`, ({ signal }) =>
      daemon.workspace.checkpoint(input, { signal }),
    );
    if (!made) return;
    setMessage("");
    onChanged();
  };
  return (
    <section class="block" aria-label="Checkpoints">
      <h2>Checkpoints</h2>
      {failure && <Trouble failure={failure} onRetry={onChanged} />}
      {checkpoints?.length === 0 && <p class="dim">None yet.</p>}
      <ul class="rules">
        {(checkpoints ?? []).map(({ number, id, createdAt, message: text }) => (
          <li key={number}>
            <strong>{number}</strong>
            <span class="wrap">{visibleName(text)}</span>
            <span class="dim">
              <span class="mono">{id.slice(0, 12)}</span> {ago(createdAt)} ago
            </span>
            <Button
              kind="quiet"
              label={`Diff since checkpoint ${number}`}
              onClick={() => onCompare(number)}
            >
              diff
            </Button>
            <Button
              kind="quiet"
              label={`Restore checkpoint ${number}`}
              onClick={() => void restore(vm, target, number).then(onChanged)}
            >
              restore
            </Button>
          </li>
        ))}
      </ul>
      <form
        class="inline-form"
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        <Field label="Message" value={message} onInput={setMessage} placeholder="optional" />
        <Button type="submit">Save a checkpoint</Button>
      </form>
    </section>
  );
}

async function restore(vm: Vm, target: WorkspaceRef, checkpoint: number): Promise<void> {
  const isSure = await confirm(`Restore checkpoint ${checkpoint} in ${vm.name}?`, {
    body: "The files of the workspace are set back. What they are now is saved as a checkpoint first.",
    confirm: "Restore",
  });
  if (!isSure) return;
  await runTask(`Restore checkpoint ${checkpoint} in ${vm.name}`, ({ signal }) =>
    daemon.workspace.restore({ ...target, checkpoint }, { signal }),
  );
}
