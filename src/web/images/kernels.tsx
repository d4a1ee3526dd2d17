import type { CatalogEntry, Kernel } from "#api/kernel.ts";
import { finish } from "#sdk/stream.ts";
import { daemon } from "#web/link/daemon.ts";
import { runTask } from "#web/link/tasks.ts";
import { Button } from "#web/parts/button.tsx";
import { confirm } from "#web/parts/dialog.tsx";
import { size } from "#web/parts/format.ts";
import { useLoad } from "#web/parts/load.ts";
import { Table } from "#web/parts/table.tsx";
import { Trouble } from "#web/parts/trouble.tsx";

export function Kernels() {
  const kernels = useLoad((signal) => daemon.kernel.list(undefined, { signal }), []);
  const available = useLoad((signal) => daemon.kernel.available({}, { signal }), []);
  const catalogs = useLoad((signal) => daemon.kernel.catalog.list(undefined, { signal }), []);
  const reload = () => {
    kernels.reload();
    available.reload();
  };
  return (
    <>
      <h2>Kernels</h2>
      {kernels.failure && <Trouble failure={kernels.failure} onRetry={kernels.reload} />}
      {kernels.value && <Here kernels={kernels.value} reload={reload} />}
      <h3>Available</h3>
      {available.failure && <Trouble failure={available.failure} onRetry={available.reload} />}
      {available.value && <Available entries={available.value} reload={reload} />}
      <h3>Catalogs</h3>
      <ul class="rules">
        {(catalogs.value ?? []).map(({ name, from, kernels: count, problem }) => (
          <li key={name}>
            <strong>{name}</strong> <span class="mono dim wrap">{from}</span>
            <span>
              {count} kernel{count === 1 ? "" : "s"}
            </span>
            {problem && <span class="bad">{problem}</span>}
          </li>
        ))}
      </ul>
    </>
  );
}

function Here({ kernels, reload }: { kernels: readonly Kernel[]; reload: () => void }) {
  if (kernels.length === 0) return <p class="dim">None yet: the first machine pulls one.</p>;
  return (
    <Table
      caption="Kernels"
      columns={["Name", "Version", "Size", { label: "Features", isWide: true }]}
      hasActions
    >
      {kernels.map(({ name, version, size_bytes, features }) => (
        <tr key={name}>
          <td class="mono">{name}</td>
          <td class="mono">{version}</td>
          <td class="number">{size(size_bytes)}</td>
          <td class="dim wrap wide-only">{features.join(" ")}</td>
          <td class="end">
            <Button
              kind="quiet"
              label={`Remove kernel ${name}`}
              onClick={() => void remove(name).then(reload)}
            >
              remove
            </Button>
          </td>
        </tr>
      ))}
    </Table>
  );
}

function Available({ entries, reload }: { entries: readonly CatalogEntry[]; reload: () => void }) {
  return (
    <Table
      caption="Available kernels"
      columns={["Name", "Description", { label: "Catalog", isWide: true }]}
      hasActions
    >
      {entries.map(({ name, description, catalog, pulled, outdated, arch }) => (
        <tr key={`${catalog}${name}${arch}`}>
          <td class="mono">{name}</td>
          <td class="wrap">{description}</td>
          <td class="dim wide-only">{catalog}</td>
          <td class="end">
            {pulled && !outdated ? (
              <span class="tag ok">local</span>
            ) : (
              <Button
                kind="quiet"
                label={`Pull kernel ${name}`}
                onClick={() => void pull(name, outdated).then(reload)}
              >
                {outdated ? "update" : "pull"}
              </Button>
            )}
          </td>
        </tr>
      ))}
    </Table>
  );
}

async function pull(name: string, force: boolean): Promise<void> {
  await runTask(
    `Pull kernel ${name}`,
    ({ signal, onProgress }) => finish(daemon.kernel.pull({ name, force }, { signal }), onProgress),
    { isLong: true },
  );
}

async function remove(name: string): Promise<void> {
  const isSure = await confirm(`Remove kernel "${name}"?`, { confirm: "Remove", isDanger: true });
  if (isSure) await runTask(`Remove kernel ${name}`, () => daemon.kernel.remove({ name }));
}
