import { useState } from "preact/hooks";
import type { TokenScope } from "#api/serve/caller.ts";
import { daemon } from "#web/link/daemon.ts";
import { runTask } from "#web/link/tasks.ts";
import { Button } from "#web/parts/button.tsx";
import { Copyable } from "#web/parts/copy.tsx";
import { confirm } from "#web/parts/dialog.tsx";
import { Choice, Field } from "#web/parts/field.tsx";
import { ago } from "#web/parts/format.ts";
import { useLoad } from "#web/parts/load.ts";
import { Table } from "#web/parts/table.tsx";

const SCOPES: readonly TokenScope[] = ["own", "read", "full"];

export function Tokens() {
  const [name, setName] = useState("");
  const [scope, setScope] = useState<TokenScope>("own");
  const [secret, setSecret] = useState<string | undefined>(undefined);
  const { value = [], reload } = useLoad((signal) => daemon.token.list(undefined, { signal }), []);
  const create = async () => {
    const input = { scope, ...(name ? { name } : {}) };
    const made = await runTask(`Create token ${name}`, () => daemon.token.create(input));
    if (!made) return;
    setSecret(made.secret);
    setName("");
    reload();
  };
  const revoke = async (token: string) => {
    const isSure = await confirm(`Revoke token "${token}"?`, {
      body: "Its connections end. Its machines stay.",
      confirm: "Revoke",
      isDanger: true,
    });
    if (!isSure) return;
    await runTask(`Revoke token ${token}`, () => daemon.token.remove({ name: token }));
    reload();
  };
  return (
    <section class="block" aria-label="API tokens">
      <h2>API tokens</h2>
      {value.length > 0 && (
        <Table caption="API tokens" columns={["Name", "Scope", "Used", "Expires"]} hasActions>
          {value.map((token) => (
            <tr key={token.id}>
              <td class="mono">{token.name}</td>
              <td>{token.scope}</td>
              <td class="dim">{token.usedAt ? `${ago(token.usedAt)} ago` : "never"}</td>
              <td class="dim">
                {token.expiresAt ? new Date(token.expiresAt).toLocaleString() : "never"}
              </td>
              <td class="end">
                <Button
                  kind="quiet"
                  label={`Revoke token ${token.name}`}
                  onClick={() => void revoke(token.name)}
                >
                  revoke
                </Button>
              </td>
            </tr>
          ))}
        </Table>
      )}
      {secret && (
        <p role="status">
          Shown once: <Copyable text={secret} label="Copy token" />
        </p>
      )}
      <form
        class="inline-form"
        onSubmit={(event) => {
          event.preventDefault();
          void create();
        }}
      >
        <Field label="Name" value={name} onInput={setName} placeholder="generated" isMono />
        <Choice
          label="Scope"
          value={scope}
          onInput={(text) => setScope(SCOPES.find((each) => each === text) ?? "own")}
        >
          <option value="own">own: its own machines</option>
          <option value="read">read: see all, change nothing</option>
          <option value="full">full: everything</option>
        </Choice>
        <Button type="submit">Create token</Button>
      </form>
    </section>
  );
}
