/** Where a new machine may connect. */
import type { Policy } from "#api/network.ts";
import { daemon } from "#web/link/daemon.ts";
import { Check, TextField } from "#web/parts/field.tsx";
import { useLoad } from "#web/parts/load.ts";
import type { Form, Problems } from "./request.ts";
import { policySentence } from "./rules.ts";

interface PolicyProps {
  form: Form;
  problems: Problems;
  policy: Policy | undefined;
  change: (part: Partial<Form>) => void;
}

export function PolicyField({ form, problems, policy, change }: PolicyProps) {
  const { value: profiles = [] } = useLoad(
    (signal) => daemon.policy.profiles(undefined, { signal }),
    [],
  );
  const setProfile = (name: string, isOn: boolean) => {
    const others = form.profiles.filter((each) => each !== name);
    change({ profiles: isOn ? [...others, name] : others });
  };
  return (
    <section class="rows-field" aria-label="Policy">
      <fieldset>
        <legend class="hidden">Rules</legend>
        <TextField
          label="Deny"
          value={form.deny}
          onInput={(deny) => change({ deny })}
          placeholder={"ads.example.com"}
          problem={problems.deny}
          help="Before all that is allowed"
        />
        <TextField
          label="Allow"
          value={form.allow}
          onInput={(allow) => change({ allow })}
          placeholder={"*.debian.org\n192.0.2.0/24:443"}
          problem={problems.allow}
          help="Names, *.NAME, addresses or CIDR, each with an optional :PORT"
        />
      </fieldset>
      <fieldset class="checks-field">
        <legend>Profiles</legend>
        {profiles.map(({ name, summary }) => (
          <Check
            key={name}
            label={name}
            title={summary}
            isChecked={form.profiles.includes(name)}
            onInput={(isOn) => setProfile(name, isOn)}
          />
        ))}
      </fieldset>
      <Check
        label="Ask for what no rule matches"
        isChecked={form.ask}
        onInput={(ask) => change({ ask })}
      />
      <Check
        label="Deny outbound traffic that nothing allows"
        isChecked={form.denyAll}
        onInput={(denyAll) => change({ denyAll })}
      />
      <p class="note" role="status">
        {policySentence(policy)}
      </p>
      {/^(user|none)$/.test(form.network) && (
        <p class={problems.network ? "note bad" : "note"}>
          Policies and secrets need the network nat or host.
        </p>
      )}
    </section>
  );
}
