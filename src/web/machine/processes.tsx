import { useState } from "preact/hooks";
import type { VmProcess } from "#api/inside.ts";
import type { Vm } from "#api/vm.ts";
import { daemon } from "#web/link/daemon.ts";
import { runTask } from "#web/link/tasks.ts";
import { Button } from "#web/parts/button.tsx";
import { confirm } from "#web/parts/dialog.tsx";
import { size, stopwatch } from "#web/parts/format.ts";
import { useEvery, useLoad } from "#web/parts/load.ts";
import { Trouble } from "#web/parts/trouble.tsx";
import { visibleName } from "#web/parts/visible.ts";
import { runInside } from "./run-inside.ts";

const EVERY_MS = 3000;
type Key = "pid" | "cpu_ms" | "resident_bytes" | "command";
const COLUMNS: readonly [Key, string][] = [
  ["pid", "PID"],
  ["cpu_ms", "CPU time"],
  ["resident_bytes", "Memory"],
  ["command", "Command"],
];

export function ProcessesTab({ vm }: { vm: Vm }) {
  const [key, setKey] = useState<Key>("cpu_ms");
  const { value, failure, reload } = useLoad(
    (signal) => daemon.inside.processes({ name: vm.id }, { signal }),
    [vm.id],
  );
  useEvery(reload, EVERY_MS);
  if (failure && !value) return <Trouble failure={failure} onRetry={reload} />;
  if (!value) return <p class="dim">Loading…</p>;
  const sorted = value.toSorted((a, b) => order(a, b, key));
  return (
    <table class="table">
      <caption class="hidden">Processes</caption>
      <thead>
        <tr>
          {COLUMNS.map(([each, label]) => (
            <th key={each} scope="col" aria-sort={each === key ? "descending" : undefined}>
              <button type="button" onClick={() => setKey(each)}>
                {label}
              </button>
            </th>
          ))}
          <th scope="col">
            <span class="hidden">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {sorted.map((each) => (
          <tr key={each.pid}>
            <td class="number">{each.pid}</td>
            <td class="number">{stopwatch(each.cpu_ms)}</td>
            <td class="number">{size(each.resident_bytes)}</td>
            <td class="mono wrap">{visibleName(each.command || `[${each.name}]`)}</td>
            <td class="end">
              <Button
                kind="quiet"
                label={`End process ${each.pid}`}
                onClick={() => void end(vm, each, reload)}
              >
                end
              </Button>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

async function end(vm: Vm, { pid, command, name }: VmProcess, reload: () => void): Promise<void> {
  const isSure = await confirm(`End process ${pid}?`, {
    body: visibleName(command || name),
    confirm: "Send SIGTERM",
    isDanger: true,
  });
  if (!isSure) return;
  await runTask(`End process ${pid} of ${vm.name}`, () =>
    runInside(vm.id, ["kill", "-TERM", String(pid)]),
  );
  reload();
}

function order(a: VmProcess, b: VmProcess, key: Key): number {
  if (key === "command") return a.command < b.command ? -1 : 1;
  if (key === "pid") return a.pid - b.pid;
  return b[key] - a[key] || a.pid - b.pid;
}
