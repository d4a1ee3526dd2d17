/** Name, sizes and network of a new machine. */
import type { NamedNetwork } from "#api/network.ts";
import { Check, Choice, Field, TextField } from "#web/parts/field.tsx";
import type { Form, Problems } from "./request.ts";

export interface PartProps {
  form: Form;
  problems: Problems;
  change: (part: Partial<Form>) => void;
}

export function Basics({
  form,
  problems,
  change,
  networks,
}: PartProps & { networks: readonly NamedNetwork[] }) {
  const setNetwork = (name: string, isOn: boolean) => {
    const others = form.networks.filter((each) => each !== name);
    change({ networks: isOn ? [...others, name] : others });
  };
  return (
    <>
      <fieldset>
        <legend>Machine</legend>
        <Field
          label="Name"
          value={form.name}
          onInput={(name) => change({ name })}
          placeholder="generated"
          isMono
        />
        <Field
          label="CPUs"
          type="number"
          value={form.cpus}
          onInput={(cpus) => change({ cpus })}
          placeholder="default"
          problem={problems.cpus}
        />
        <Field
          label="Memory"
          value={form.memory}
          onInput={(memory) => change({ memory })}
          placeholder="default, such as 2G"
          problem={problems.memory}
        />
        <Field
          label="Disk"
          value={form.disk}
          onInput={(disk) => change({ disk })}
          placeholder="default, such as 10G"
          problem={problems.disk}
          help="Allocated on demand"
        />
        <Choice
          label="Network"
          value={form.network}
          onInput={(network) => change({ network })}
          problem={problems.network}
          help={form.network === "user" ? "Policies and secrets need nat or host" : undefined}
        >
          <option value="">default</option>
          <option value="nat">nat: outbound, and from the host</option>
          <option value="host">host: from the host only</option>
          <option value="user">user: outbound, without root</option>
          <option value="none">none</option>
        </Choice>
        <TextField
          label="Ports"
          value={form.ports}
          onInput={(ports) => change({ ports })}
          placeholder={"8080:80\n5432"}
          rows={2}
          problem={problems.ports}
          help="[ADDRESS:][HOST:]GUEST[/udp]"
        />
      </fieldset>
      {networks.length > 0 && (
        <fieldset class="checks-field">
          <legend>Named networks</legend>
          {networks.map(({ name }) => (
            <Check
              key={name}
              label={name}
              isChecked={form.networks.includes(name)}
              onInput={(isOn) => setNetwork(name, isOn)}
            />
          ))}
        </fieldset>
      )}
    </>
  );
}
