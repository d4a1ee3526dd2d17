/** Published ports, named networks, and what listens inside. */
import { useState } from "preact/hooks";
import type { PublishedPort } from "#api/network.ts";
import type { Vm } from "#api/vm.ts";
import { daemon } from "#web/link/daemon.ts";
import { putMachine } from "#web/link/machines.ts";
import { runTask } from "#web/link/tasks.ts";
import { PortLink } from "#web/machines/port-link.tsx";
import { Button } from "#web/parts/button.tsx";
import { Field } from "#web/parts/field.tsx";
import { useEvery, useLoad } from "#web/parts/load.ts";
import { Table } from "#web/parts/table.tsx";
import { NamedNetworks } from "./named-networks.tsx";

const EVERY_MS = 5000;
const PORT_MAX = 65_535;

export function NetworkTab({ vm }: { vm: Vm }) {
  return (
    <>
      <Published vm={vm} />
      <NamedNetworks vm={vm} />
      {vm.state === "running" && <Listening vm={vm} />}
    </>
  );
}

function Published({ vm }: { vm: Vm }) {
  const ports = vm.network.ports ?? [];
  return (
    <section class="block">
      <h2>Published ports</h2>
      {ports.length === 0 && <p class="dim">None. Only the host reaches this machine.</p>}
      {ports.length > 0 && (
        <Table caption="Published ports" columns={["On the host", "Open"]} hasActions>
          {ports.map((port) => (
            <tr key={`${port.hostAddress}:${port.hostPort}/${port.protocol}`}>
              <td class="mono">
                {port.hostAddress}:{port.hostPort}
              </td>
              <td>
                <PortLink port={port} />
              </td>
              <td class="end">
                <Button
                  kind="quiet"
                  label={`Unpublish port ${port.hostPort}`}
                  onClick={() => void unpublish(vm, port)}
                >
                  unpublish
                </Button>
              </td>
            </tr>
          ))}
        </Table>
      )}
      <Publish vm={vm} />
    </section>
  );
}

function Publish({ vm }: { vm: Vm }) {
  const [guest, setGuest] = useState("");
  const [host, setHost] = useState("");
  const guestPort = Number(guest);
  const isRight = Number.isInteger(guestPort) && guestPort > 0 && guestPort <= PORT_MAX;
  const submit = async (): Promise<void> => {
    const changed = await publish(vm, guestPort, Number(host) || 0);
    if (!changed) return;
    setGuest("");
    setHost("");
  };
  return (
    <form
      class="inline-form"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <Field label="Port in the machine" type="number" value={guest} onInput={setGuest} />
      <Field
        label="Port on the host"
        type="number"
        value={host}
        placeholder="any free"
        onInput={setHost}
      />
      <Button type="submit" isDisabled={!isRight}>
        Publish
      </Button>
    </form>
  );
}

function Listening({ vm }: { vm: Vm }) {
  const { value = [], reload } = useLoad(
    (signal) => daemon.inside.ports({ name: vm.id }, { signal }),
    [vm.id],
  );
  useEvery(reload, EVERY_MS);
  const published = new Set((vm.network.ports ?? []).map(({ guestPort }) => guestPort));
  return (
    <section class="block">
      <h2>Listening inside</h2>
      {value.length === 0 && <p class="dim">Nothing listens.</p>}
      {value.length > 0 && (
        <Table caption="Listening sockets" columns={["Address", "Process"]} hasActions>
          {value.map(({ protocol, address, port, process }) => (
            <tr key={`${protocol}${address}${port}`}>
              <td class="mono">
                {address}:{port}/{protocol}
              </td>
              <td>{process ? `${process.name} (${process.pid})` : ""}</td>
              <td class="end">
                {protocol === "tcp" && !published.has(port) && (
                  <Button
                    kind="quiet"
                    label={`Publish port ${port}`}
                    onClick={() => void publish(vm, port, 0)}
                  >
                    publish
                  </Button>
                )}
              </td>
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}

async function publish(vm: Vm, guestPort: number, hostPort: number): Promise<boolean> {
  const port = { hostPort, guestPort, protocol: "tcp" as const };
  const changed = await runTask(`Publish port ${guestPort} of ${vm.name}`, () =>
    daemon.vm.publish({ name: vm.id, ports: [port] }),
  );
  if (changed) putMachine(changed);
  return changed !== undefined;
}

async function unpublish(vm: Vm, port: PublishedPort): Promise<void> {
  const { guestPort: _, ...end } = port;
  const changed = await runTask(`Unpublish port ${port.hostPort} of ${vm.name}`, () =>
    daemon.vm.unpublish({ name: vm.id, ports: [end] }),
  );
  if (changed) putMachine(changed);
}
