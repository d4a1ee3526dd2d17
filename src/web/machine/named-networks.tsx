/** Named networks that a machine is on: the machines on one reach each other. */
import { useState } from "preact/hooks";
import type { NamedNetwork } from "#api/network.ts";
import type { Vm } from "#api/vm.ts";
import { vmHref } from "#web/app/route.ts";
import { daemon } from "#web/link/daemon.ts";
import { putMachine } from "#web/link/machines.ts";
import { runTask } from "#web/link/tasks.ts";
import { Button } from "#web/parts/button.tsx";
import { Choice, Field } from "#web/parts/field.tsx";
import { useLoad } from "#web/parts/load.ts";
import { Table } from "#web/parts/table.tsx";
import { Trouble } from "#web/parts/trouble.tsx";

export function NamedNetworks({ vm }: { vm: Vm }) {
  const own = vm.network.networks ?? [];
  const { value, failure, reload } = useLoad(
    (signal) => daemon.network.list(undefined, { signal }),
    [vm.id, own.join(" ")],
  );
  const all = value ?? [];
  const { mode } = vm.network;
  return (
    <section class="block" aria-label="Named networks">
      <h2>Named networks</h2>
      {failure && <Trouble failure={failure} onRetry={reload} />}
      {own.length === 0 && (
        <p class="dim">None. Other machines do not reach this one by a network.</p>
      )}
      {own.length > 0 && (
        <Table caption="Named networks" columns={["Network", "Other machines"]} hasActions>
          {own.map((name) => (
            <tr key={name}>
              <td class="mono">{name}</td>
              <td>
                <Others of={all.find((each) => each.name === name)} vm={vm} />
              </td>
              <td class="end">
                <Button
                  kind="quiet"
                  label={`Disconnect from ${name}`}
                  onClick={() => void disconnect(vm, name)}
                >
                  disconnect
                </Button>
              </td>
            </tr>
          ))}
        </Table>
      )}
      {mode === "nat" || mode === "host" ? (
        <Connect vm={vm} free={all.filter(({ name }) => !own.includes(name))} reload={reload} />
      ) : (
        <p class="note">Named networks need the network nat or host; this machine has {mode}.</p>
      )}
    </section>
  );
}

function Others({ of, vm }: { of: NamedNetwork | undefined; vm: Vm }) {
  const others = (of?.machines ?? []).filter((name) => name !== vm.name);
  if (others.length === 0) return <span class="dim">none</span>;
  return (
    <span class="words">
      {others.map((name) => (
        <a key={name} href={vmHref(name, "network")}>
          {name}
        </a>
      ))}
    </span>
  );
}

interface ConnectProps {
  vm: Vm;
  /** Those that it is not on. */
  free: readonly NamedNetwork[];
  reload: () => void;
}

function Connect({ vm, free, reload }: ConnectProps) {
  const [chosen, setChosen] = useState("");
  const [name, setName] = useState("");
  const wanted = chosen || name.trim();
  const submit = async (): Promise<void> => {
    if (!(await connect(vm, wanted, { isNew: chosen === "" }))) return;
    setChosen("");
    setName("");
    reload();
  };
  return (
    <form
      class="inline-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (wanted !== "") void submit();
      }}
    >
      <Choice label="Connect to" value={chosen} onInput={setChosen}>
        <option value="">a new one</option>
        {free.map((each) => (
          <option key={each.name} value={each.name}>
            {each.name}
          </option>
        ))}
      </Choice>
      {chosen === "" && (
        <Field
          label="Name of the network"
          value={name}
          onInput={setName}
          placeholder="lab"
          isMono
        />
      )}
      <Button type="submit" isDisabled={wanted === ""}>
        Connect
      </Button>
    </form>
  );
}

async function connect(vm: Vm, name: string, { isNew }: { isNew: boolean }): Promise<boolean> {
  const changed = await runTask(`Connect ${vm.name} to ${name}`, async () => {
    if (isNew) await daemon.network.create({ name });
    return await daemon.network.connect({ name, vm: vm.id });
  });
  if (changed) putMachine(changed);
  return changed !== undefined;
}

async function disconnect(vm: Vm, name: string): Promise<void> {
  const changed = await runTask(`Disconnect ${vm.name} from ${name}`, () =>
    daemon.network.disconnect({ name, vm: vm.id }),
  );
  if (changed) putMachine(changed);
}
