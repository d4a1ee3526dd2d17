/** Connections of a machine by destination, as the firewall has counted them. */
import type { PolicyLog } from "#api/network.ts";
import type { Vm } from "#api/vm.ts";
import { Button } from "#web/parts/button.tsx";
import { useEvery } from "#web/parts/load.ts";
import { Table } from "#web/parts/table.tsx";
import { changePolicy } from "./change.ts";
import { destinationOf } from "./question.ts";

const EVERY_MS = 5000;

interface ConnectionsProps {
  vm: Vm;
  log: PolicyLog | undefined;
  reload: () => void;
}

export function Connections({ vm, log, reload }: ConnectionsProps) {
  useEvery(reload, EVERY_MS);
  const all = log?.connections ?? [];
  return (
    <section class="block" aria-label="Connections">
      <h2>Connections</h2>
      {all.length === 0 && <p class="dim">None was made or denied yet.</p>}
      {all.length > 0 && (
        <Table
          caption="Connections"
          columns={["Verdict", "Destination", "Packets", "Last"]}
          hasActions
        >
          {all.map((entry) => {
            const { verdict, name, address, protocol, port, packets, lastAt } = entry;
            return (
              <tr key={`${verdict}${address}${protocol}${port}`}>
                <td class={verdict === "denied" ? "bad" : "ok"}>{verdict}</td>
                <td class="mono wrap">
                  {destinationOf(entry)}/{protocol}{" "}
                  {name !== undefined && <span class="dim">{address}</span>}
                </td>
                <td class="number">{packets}</td>
                <td class="dim">{new Date(lastAt).toLocaleTimeString()}</td>
                <td class="end">
                  {verdict === "denied" && (
                    <Button
                      kind="quiet"
                      label={`Allow ${destinationOf(entry)}`}
                      onClick={() =>
                        void changePolicy(vm, { add: [destinationOf(entry)] }).then(reload)
                      }
                    >
                      allow
                    </Button>
                  )}
                </td>
              </tr>
            );
          })}
        </Table>
      )}
    </section>
  );
}
