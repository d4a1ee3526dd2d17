import { useState } from "preact/hooks";
import type { ConnectionLogEntry } from "#api/network.ts";
import type { Vm } from "#api/vm.ts";
import { daemon } from "#web/link/daemon.ts";
import { putMachine } from "#web/link/machines.ts";
import { runTask } from "#web/link/tasks.ts";
import { Button } from "#web/parts/button.tsx";
import { confirm } from "#web/parts/dialog.tsx";
import { Field } from "#web/parts/field.tsx";
import { useEvery, useLoad } from "#web/parts/load.ts";

const EVERY_MS = 5000;

export function Policy({ vm }: { vm: Vm }) {
  const { policy } = vm.network;
  const [rule, setRule] = useState("");
  if (!policy) {
    return (
      <section class="block">
        <h2>Egress policy</h2>
        <p class="dim">None: it may reach everything that its network mode lets it.</p>
        <Button onClick={() => void deny(vm)}>Deny outbound traffic…</Button>
      </section>
    );
  }
  const add = async (): Promise<void> => {
    if (await change(vm, { add: [rule] })) setRule("");
  };
  return (
    <section class="block">
      <h2>Egress policy</h2>
      <ul class="rules">
        {policy.allow.map((each) => (
          <li key={each}>
            <code>{each}</code>
            <Button
              kind="quiet"
              label={`Remove rule ${each}`}
              onClick={() => void change(vm, { remove: [each] })}
            >
              remove
            </Button>
          </li>
        ))}
        {policy.allow.length === 0 && <li class="dim">Everything is denied.</li>}
      </ul>
      <form
        class="inline-form"
        onSubmit={(event) => {
          event.preventDefault();
          void add();
        }}
      >
        <Field
          label="Allow"
          value={rule}
          onInput={setRule}
          placeholder="example.com:443, *.debian.org, 192.0.2.0/24"
          isMono
        />
        <Button type="submit" isDisabled={rule === ""}>
          Allow
        </Button>
        <Button onClick={() => void lift(vm)}>Remove the policy</Button>
      </form>
      <PolicyLog vm={vm} />
    </section>
  );
}

function PolicyLog({ vm }: { vm: Vm }) {
  const { value, reload } = useLoad(
    (signal) => daemon.vm.policyLog({ name: vm.id }, { signal }),
    [vm.id],
  );
  useEvery(reload, EVERY_MS);
  if (!value || value.connections.length === 0) {
    return <p class="dim">No connection was made or denied yet.</p>;
  }
  return (
    <table class="table">
      <caption class="hidden">Connections</caption>
      <thead>
        <tr>
          <th scope="col">Verdict</th>
          <th scope="col">Destination</th>
          <th scope="col">Packets</th>
          <th scope="col">Last</th>
          <th scope="col">
            <span class="hidden">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {value.connections.map((entry) => (
          <tr key={`${entry.verdict}${entry.address}${entry.protocol}${entry.port}`}>
            <td class={entry.verdict === "denied" ? "bad" : "ok"}>{entry.verdict}</td>
            <td class="mono wrap">
              {entry.name ? `${entry.name} ` : ""}
              {entry.address}
              {entry.port === undefined ? "" : `:${entry.port}`}/{entry.protocol}
            </td>
            <td class="number">{entry.packets}</td>
            <td class="dim">{new Date(entry.lastAt).toLocaleTimeString()}</td>
            <td class="end">
              {entry.verdict === "denied" && (
                <Button
                  kind="quiet"
                  label={`Allow ${ruleOf(entry)}`}
                  onClick={() => void change(vm, { add: [ruleOf(entry)] }).then(reload)}
                >
                  allow
                </Button>
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function ruleOf({ name, address, port }: ConnectionLogEntry): string {
  const host = name ?? (address.includes(":") ? `[${address}]` : address);
  return port === undefined ? host : `${host}:${port}`;
}

async function change(vm: Vm, rules: { add?: string[]; remove?: string[] }): Promise<boolean> {
  const changed = await runTask(`Change the policy of ${vm.name}`, () =>
    daemon.vm.changePolicy({ name: vm.id, ...rules }),
  );
  if (changed) putMachine(changed);
  return changed !== undefined;
}

async function setPolicy(vm: Vm, allow: string[] | null): Promise<void> {
  const changed = await runTask(`Change the policy of ${vm.name}`, () =>
    daemon.vm.setPolicy({ name: vm.id, allow }),
  );
  if (changed) putMachine(changed);
}

async function deny(vm: Vm): Promise<void> {
  const isSure = await confirm(`Deny outbound traffic of ${vm.name}?`, {
    body: "New connections fail until a rule allows them.",
    confirm: "Deny",
  });
  if (isSure) await setPolicy(vm, []);
}

async function lift(vm: Vm): Promise<void> {
  const isSure = await confirm(`Remove the policy of ${vm.name}?`, {
    body: "It may then reach everything that its network mode lets it.",
    confirm: "Remove",
  });
  if (isSure) await setPolicy(vm, null);
}
