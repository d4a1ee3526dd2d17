/** Secrets of the keyring that a new machine may use: it gets placeholders, and their hosts get the values. */
import type { StoredSecret } from "#api/secrets/secret.ts";
import { Button } from "#web/parts/button.tsx";
import { Copyable } from "#web/parts/copy.tsx";
import { Choice, Field } from "#web/parts/field.tsx";
import { NO_SECRET, SECRETS_MAX, type SecretRow } from "./secrets.ts";

interface SecretsProps {
  rows: readonly SecretRow[];
  known: readonly StoredSecret[];
  problem: string | undefined;
  onChange: (rows: SecretRow[]) => void;
}

export function SecretsField({ rows, known, problem, onChange }: SecretsProps) {
  const change = (at: number, part: Partial<SecretRow>) =>
    onChange(rows.map((row, index) => (index === at ? { ...row, ...part } : row)));
  return (
    <section class="rows-field" aria-label="Secrets">
      {rows.map((row, index) => (
        <div key={index} role="group" aria-label={`Secret ${index + 1}`} class="field-row">
          <Choice label="Secret" value={row.name} onInput={(name) => change(index, { name })}>
            <option value="">choose…</option>
            {known.map(({ name }) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </Choice>
          <Field
            label="Hosts that get it"
            value={row.hosts}
            onInput={(hosts) => change(index, { hosts })}
            placeholder="api.example.com *.example.org:8443"
            isMono
          />
          <Button
            kind="quiet"
            label={`Remove secret ${index + 1}`}
            onClick={() => onChange(rows.filter((_, at) => at !== index))}
          >
            remove
          </Button>
        </div>
      ))}
      {problem && (
        <p class="note bad" role="alert">
          {problem}
        </p>
      )}
      {known.length === 0 ? (
        <p class="dim">
          The keyring is empty. Store a secret: <Copyable text="banger secret set NAME" />
        </p>
      ) : (
        <Button
          isDisabled={rows.length >= SECRETS_MAX}
          onClick={() => onChange([...rows, NO_SECRET])}
        >
          Add a secret
        </Button>
      )}
    </section>
  );
}
