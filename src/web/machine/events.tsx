import type { Vm } from "#api/vm.ts";
import { events } from "#web/link/machines.ts";
import { Table } from "#web/parts/table.tsx";
import { Empty } from "#web/parts/trouble.tsx";

export function EventsTab({ vm }: { vm: Vm }) {
  const own = events.value.filter(({ id }) => id === vm.id);
  if (own.length === 0) {
    return (
      <Empty title="No events since this page was opened">
        <p class="dim">
          Created {new Date(vm.createdAt).toLocaleString()}
          {vm.startedAt ? `, started ${new Date(vm.startedAt).toLocaleString()}` : ""}
        </p>
      </Empty>
    );
  }
  return (
    <Table caption="Events" columns={["Time", "State", "Detail"]}>
      {own.map(({ at, state, exit }) => (
        <tr key={`${at}${state}`}>
          <td class="mono">{new Date(at).toLocaleTimeString()}</td>
          <td>
            <span class={`state ${state}`}>
              <i aria-hidden="true" />
              {state}
            </span>
          </td>
          <td>
            {exit
              ? `${exit.reason}${exit.status === undefined ? "" : `, exit status ${exit.status}`}`
              : ""}
          </td>
        </tr>
      ))}
    </Table>
  );
}
