/** The daemon and the host: status, doctor, tokens, configuration, log. */
import { daemon, logOut } from "#web/link/daemon.ts";
import { Button } from "#web/parts/button.tsx";
import { ago, size } from "#web/parts/format.ts";
import { useLoad } from "#web/parts/load.ts";
import { Table } from "#web/parts/table.tsx";
import { Hint, Trouble } from "#web/parts/trouble.tsx";
import { KeptAnswers } from "#web/policy/kept.tsx";
import { DaemonLog } from "./log.tsx";
import { Tokens } from "./tokens.tsx";

export function SystemPage() {
  return (
    <>
      <h1>System</h1>
      <Status />
      <Doctor />
      <Tokens />
      <KeptAnswers />
      <Settings />
      <DaemonLog />
    </>
  );
}

function Status() {
  const { value, failure, reload } = useLoad(
    (signal) => daemon.system.status(undefined, { signal }),
    [],
  );
  if (failure && !value) return <Trouble failure={failure} onRetry={reload} />;
  if (!value) return null;
  return (
    <section class="block" aria-label="Daemon">
      <dl class="facts-list">
        <div>
          <dt>Version</dt>
          <dd class="mono">
            {value.version} ({value.commit})
          </dd>
        </div>
        <div>
          <dt>Daemon</dt>
          <dd>
            pid {value.pid}, up {ago(value.startedAt)}, {size(value.rss_bytes)}
          </dd>
        </div>
        <div>
          <dt>State</dt>
          <dd class="mono wrap">{value.stateDir}</dd>
        </div>
        <div>
          <dt>Served at</dt>
          <dd class="mono wrap">{(value.serving ?? []).join(", ")}</dd>
        </div>
      </dl>
      <Button onClick={() => void logOut()}>Log out this browser</Button>
    </section>
  );
}

const WORDS = { ok: "ok", warn: "warning", fail: "failed" } as const;

function Doctor() {
  const { value, failure, reload } = useLoad(
    (signal) => daemon.system.doctor(undefined, { signal }),
    [],
  );
  return (
    <section class="block" aria-label="Doctor">
      <h2>Doctor</h2>
      {failure && <Trouble failure={failure} onRetry={reload} />}
      {!value && !failure && <p class="dim">Checking the host…</p>}
      <ul class="checks">
        {(value ?? []).map(({ title, status, detail, fix }) => (
          <li key={title}>
            <span class={`check-state ${status}`}>
              <i aria-hidden="true" />
              {WORDS[status]}
            </span>
            <strong>{title}</strong>
            <span class="wrap">{detail}</span>
            {fix && (
              <span class="check-fix dim">
                <Hint text={fix} />
              </span>
            )}
          </li>
        ))}
      </ul>
      <Button onClick={reload}>Check again</Button>
    </section>
  );
}

function Settings() {
  const { value = [] } = useLoad((signal) => daemon.system.config(undefined, { signal }), []);
  return (
    <details class="block">
      <summary>Configuration</summary>
      <Table caption="Configuration" columns={["Setting", "Value", "Origin"]}>
        {value.map(({ key, value: text, origin }) => (
          <tr key={key}>
            <td class="mono">{key}</td>
            <td class="mono wrap">{text}</td>
            <td class={origin === "default" ? "dim" : ""}>{origin}</td>
          </tr>
        ))}
      </Table>
    </details>
  );
}
