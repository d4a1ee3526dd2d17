/** The project in a machine: what has changed, as files and checkpoints. */
import { useState } from "preact/hooks";
import type { Vm } from "#api/vm.ts";
import type { Workspace, WorkspaceRef } from "#api/workspace/workspace.ts";
import { daemon } from "#web/link/daemon.ts";
import { Button } from "#web/parts/button.tsx";
import { Copyable } from "#web/parts/copy.tsx";
import { Choice } from "#web/parts/field.tsx";
import { ago, shellWord } from "#web/parts/format.ts";
import { useLoad } from "#web/parts/load.ts";
import { Empty, Trouble } from "#web/parts/trouble.tsx";
import { visibleName } from "#web/parts/visible.ts";
import { Checkpoints } from "./checkpoints.tsx";
import { Diff } from "./diff.tsx";
import { downloadWorkspace, type Format } from "./download.ts";
import { ImportForm } from "./import.tsx";
import { Status } from "./status.tsx";

export function WorkspaceTab({ vm }: { vm: Vm }) {
  const [path, setPath] = useState<string | undefined>(undefined);
  const { value, failure, reload } = useLoad(
    (signal) => daemon.workspace.list({ name: vm.id }, { signal }),
    [vm.id],
  );
  if (failure && !value) return <Trouble failure={failure} onRetry={reload} />;
  if (!value) return <p class="dim">Loading…</p>;
  const current = value.find((each) => each.path === path) ?? value[0];
  if (!current) {
    return (
      <Empty title="No workspace">
        <p class="dim">Import a repository or a directory of the host, to work on its copy here.</p>
        <ImportForm vm={vm} onDone={reload} />
      </Empty>
    );
  }
  return (
    <>
      {value.length > 1 && (
        <Choice label="Workspace" value={current.path} onInput={setPath}>
          {value.map((each) => (
            <option key={each.path} value={each.path}>
              {visibleName(each.path)}
            </option>
          ))}
        </Choice>
      )}
      <One key={current.path} vm={vm} workspace={current} />
    </>
  );
}

const FORMATS: readonly [Format, string][] = [
  ["patch", "the changes since the import, for git apply"],
  ["tar", "the files"],
  ["bundle", "branches and uncommitted changes, for git fetch"],
];

function One({ vm, workspace }: { vm: Vm; workspace: Workspace }) {
  const { path, source, kind, state, importedAt } = workspace;
  const [base, setBase] = useState("import");
  const [count, setCount] = useState(0);
  const reload = () => setCount((before) => before + 1);
  const ref: WorkspaceRef = { name: vm.id, path };
  const isRepository = kind === "repository";
  const inputs = [vm.id, path, count];
  const status = useLoad((signal) => daemon.workspace.status(ref, { signal }), inputs);
  const diff = useLoad(
    async (signal) =>
      isRepository ? await daemon.workspace.diff({ ...ref, ...baseOf(base) }, { signal }) : [],
    [...inputs, base],
  );
  const checkpoints = useLoad(
    async (signal) => (isRepository ? await daemon.workspace.checkpoints(ref, { signal }) : []),
    inputs,
  );
  const where = shellWord(`${vm.name}:${path}`);
  return (
    <>
      <div class="toolbar">
        <strong class="mono wrap">{visibleName(path)}</strong>
        <span class="dim wrap">
          from {visibleName(source)},{" "}
          {state === "importing" ? "import interrupted" : `imported ${ago(importedAt)} ago`}
        </span>
        <Button onClick={reload}>Reload</Button>
        {FORMATS.filter(([format]) => isRepository || format === "tar").map(([format, title]) => (
          <Button
            key={format}
            label={`Export as ${format}`}
            title={title}
            onClick={() => void downloadWorkspace(vm, ref, format)}
          >
            {format}
          </Button>
        ))}
      </div>
      <p>
        <Copyable text={`banger vm workspace apply ${where}`} label="Copy command" />
      </p>
      <Status status={status.value} failure={status.failure} onRetry={reload} />
      {isRepository && (
        <>
          <Checkpoints
            vm={vm}
            target={ref}
            checkpoints={checkpoints.value}
            failure={checkpoints.failure}
            onChanged={reload}
            onCompare={(number) => setBase(String(number))}
          />
          <section class="block" aria-label="Diff">
            <h2>Diff</h2>
            <Choice label="Compared with" value={base} onInput={setBase}>
              <option value="import">what was imported</option>
              <option value="head">HEAD: what is not committed</option>
              <option value="staged">HEAD: what is staged</option>
              {(checkpoints.value ?? []).map(({ number, message }) => (
                <option key={number} value={String(number)}>
                  checkpoint {number}: {visibleName(message)}
                </option>
              ))}
            </Choice>
            {diff.failure && <Trouble failure={diff.failure} onRetry={reload} />}
            {diff.value ? (
              <Diff patches={diff.value} />
            ) : (
              !diff.failure && <p class="dim">Loading…</p>
            )}
          </section>
        </>
      )}
    </>
  );
}

function baseOf(base: string): { from?: number; head?: boolean; staged?: boolean } {
  if (base === "import") return {};
  if (base === "head") return { head: true };
  return base === "staged" ? { staged: true } : { from: Number(base) };
}
