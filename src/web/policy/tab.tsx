/** The egress policy of a machine: its rules, what it asks, and what it has decided. */
import { useState } from "preact/hooks";
import type { PolicyLog } from "#api/network.ts";
import type { Vm } from "#api/vm.ts";
import { daemon } from "#web/link/daemon.ts";
import { Button } from "#web/parts/button.tsx";
import { Choice, Field } from "#web/parts/field.tsx";
import { useLoad } from "#web/parts/load.ts";
import { Trouble } from "#web/parts/trouble.tsx";
import { visibleName } from "#web/parts/visible.ts";
import { changePolicy, deny, lift, setPolicy } from "./change.ts";
import { Connections } from "./connections.tsx";
import { Decisions, useDecisions } from "./decisions.tsx";
import { KeptAnswers } from "./kept.tsx";

export function PolicyTab({ vm }: { vm: Vm }) {
  const { policy } = vm.network;
  const { value, failure, reload } = useLoad(
    (signal) => daemon.vm.policyLog({ name: vm.id }, { signal }),
    [vm.id, vm.state, policy?.allow.join("\n")],
  );
  const later = useDecisions(vm, reload);
  if (!policy) {
    return (
      <section class="block">
        <h2>Egress policy</h2>
        <p class="dim">None: it may reach everything that its network mode lets it.</p>
        <div class="toolbar">
          <Button onClick={() => void deny(vm)}>Deny outbound traffic…</Button>
          <Button onClick={() => void setPolicy(vm, { allow: [], ask: true })}>
            Ask for each destination
          </Button>
        </div>
      </section>
    );
  }
  return (
    <>
      <Rules vm={vm} log={value} />
      {vm.state === "running" ? (
        <>
          {failure && <Trouble failure={failure} onRetry={reload} />}
          <Decisions vm={vm} decisions={[...(value?.decisions ?? []), ...later]} />
          <Connections vm={vm} log={value} reload={reload} />
        </>
      ) : (
        <p class="dim">The log is kept while the machine is running.</p>
      )}
      <KeptAnswers />
    </>
  );
}

function Rules({ vm, log }: { vm: Vm; log: PolicyLog | undefined }) {
  const { allow = [], ask = false } = vm.network.policy ?? {};
  const counts = new Map(log?.rules.map(({ rule, connections }) => [rule, connections]));
  return (
    <section class="block" aria-label="Rules">
      <h2>Rules</h2>
      <ul class="rules">
        {allow.map((rule) => (
          <li key={rule}>
            <code class="wrap">{visibleName(rule)}</code>
            {counts.has(rule) && <span class="dim">{counts.get(rule)} connections</span>}
            <Button
              kind="quiet"
              label={`Remove rule ${visibleName(rule)}`}
              onClick={() => void changePolicy(vm, { remove: [rule] })}
            >
              remove
            </Button>
          </li>
        ))}
        {allow.length === 0 && (
          <li class="dim">
            {ask ? "None: each destination is asked for." : "Everything is denied."}
          </li>
        )}
      </ul>
      <NewRule vm={vm} />
      <div class="toolbar">
        <label class="check">
          <input
            type="checkbox"
            checked={ask}
            onChange={({ currentTarget }) => void changePolicy(vm, { ask: currentTarget.checked })}
          />
          Ask for what no rule matches
        </label>
        <Button onClick={() => void lift(vm)}>Remove the policy…</Button>
      </div>
    </section>
  );
}

function NewRule({ vm }: { vm: Vm }) {
  const [rule, setRule] = useState("");
  const [profile, setProfile] = useState("");
  const { value: profiles = [] } = useLoad(
    (signal) => daemon.policy.profiles(undefined, { signal }),
    [],
  );
  const add = async (text: string): Promise<void> => {
    if (!(await changePolicy(vm, { add: [text] }))) return;
    setRule("");
    setProfile("");
  };
  return (
    <form
      class="inline-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (rule.trim() !== "") void add(rule.trim());
      }}
    >
      <Field
        label="Destination"
        value={rule}
        onInput={setRule}
        placeholder="example.com:443, *.debian.org, 192.0.2.0/24"
        isMono
      />
      <Button type="submit" isDisabled={rule.trim() === ""}>
        Allow
      </Button>
      <Button isDisabled={rule.trim() === ""} onClick={() => void add(`deny ${rule.trim()}`)}>
        Deny
      </Button>
      <Choice label="Profile" value={profile} onInput={(name) => void addProfile(name)}>
        <option value="">add a profile…</option>
        {profiles.map(({ name, summary }) => (
          <option key={name} value={name}>
            @{name}: {summary}
          </option>
        ))}
      </Choice>
    </form>
  );
  async function addProfile(name: string): Promise<void> {
    setProfile(name);
    if (name !== "") await add(`@${name}`);
  }
}
