/** Making a machine: what it is made of, the command that does the same, and the stages as they happen. */
import { useState } from "preact/hooks";
import { go, route, vmHref } from "#web/app/route.ts";
import { daemon } from "#web/link/daemon.ts";
import { tasks } from "#web/link/tasks.ts";
import { Button } from "#web/parts/button.tsx";
import { Copyable } from "#web/parts/copy.tsx";
import { Field } from "#web/parts/field.tsx";
import { useLoad } from "#web/parts/load.ts";
import { Stages } from "#web/parts/tray.tsx";
import { importLabel, importWorkspace } from "#web/workspace/import.tsx";
import { Basics, type PartProps } from "./basics.tsx";
import { commandOf } from "./command.ts";
import { Details } from "./details.tsx";
import { ImageSearch } from "./image-search.tsx";
import { makeMachine } from "./make.ts";
import { PolicyField } from "./policy-field.tsx";
import { EMPTY, type Form, type Plan, planOf } from "./request.ts";
import { SecretsField } from "./secrets-field.tsx";
import { VolumesField } from "./volumes-field.tsx";

export function CreatePage() {
  const asked = new URLSearchParams(location.search).get("image") ?? "";
  const [form, setForm] = useState<Form>({ ...EMPTY, image: asked });
  const [label, setLabel] = useState<string | undefined>(undefined);
  const known = useKnown();
  const { problems, ...plan } = planOf(form, { volumes: known.volumes.map(({ name }) => name) });
  const wrong = Object.entries(problems);
  const isReady = form.image.trim() !== "" && wrong.length === 0;
  const task =
    label === undefined ? undefined : tasks.value.findLast((each) => each.label === label);
  const change = (part: Partial<Form>) => setForm((before) => ({ ...before, ...part }));
  const isBusy = task !== undefined && task.ended_ms === undefined;
  const part: PartProps = { form, problems, change };
  return (
    <>
      <h1>Create a machine</h1>
      <form
        class="create"
        onSubmit={(event) => {
          event.preventDefault();
          if (isReady && !isBusy) void create(plan, setLabel).then(known.reload);
        }}
      >
        <div class="create-fields">
          <ImageSearch value={form.image} onChange={(image) => change({ image })} />
          <Basics {...part} networks={known.networks} />
          <details>
            <summary>Volumes and workspace</summary>
            <VolumesField
              rows={form.volumes}
              known={known.volumes}
              problem={problems.volumes}
              onChange={(volumes) => change({ volumes })}
            />
            <WorkspaceField {...part} />
          </details>
          <details>
            <summary>Policy and secrets</summary>
            <PolicyField {...part} policy={plan.request.policy} />
            <SecretsField
              rows={form.secrets}
              known={known.secrets}
              problem={problems.secrets}
              onChange={(secrets) => change({ secrets })}
            />
          </details>
          <details>
            <summary>Kernel, command, environment</summary>
            <Details {...part} />
          </details>
        </div>
        <aside class="create-side" aria-label="Command and progress">
          <h2>Same as</h2>
          <Copyable text={commandOf(plan)} label="Copy command" />
          <Button type="submit" kind="main" isDisabled={!isReady || isBusy}>
            {isBusy ? "Creating…" : "Create and start"}
          </Button>
          {wrong.map(([field, problem]) => (
            <p key={field} class="note bad">
              {LABELS[field] ?? field}: {problem}
            </p>
          ))}
          {task && <Stages task={task} />}
        </aside>
      </form>
    </>
  );
}

/** Of fields whose names are others. */
const LABELS: Partial<Record<string, string>> = {
  env: "environment",
  workspacePath: "path of the workspace",
};

/** What can be chosen. */
function useKnown() {
  const volumes = useLoad((signal) => daemon.volume.list(undefined, { signal }), []);
  const networks = useLoad((signal) => daemon.network.list(undefined, { signal }), []);
  const secrets = useLoad((signal) => daemon.secret.list(undefined, { signal }), []);
  return {
    volumes: volumes.value ?? [],
    networks: networks.value ?? [],
    secrets: secrets.value ?? [],
    reload: volumes.reload,
  };
}

async function create(plan: Plan, onLabel: (label: string) => void): Promise<void> {
  const { request, workspace } = plan;
  const label = `Create ${request.name ?? `a machine from ${request.image}`}`;
  onLabel(label);
  const vm = await makeMachine(label, plan);
  if (!vm) return;
  if (workspace) {
    const { source, path } = workspace;
    onLabel(importLabel(vm, source));
    await importWorkspace(vm, source, path);
  }
  // Whoever has gone on to another page stays there: the tray links to the machine.
  if (route.value[0] === "new") go(vmHref(vm.name, workspace && "workspace"));
}

function WorkspaceField({ form, problems, change }: PartProps) {
  return (
    <fieldset>
      <legend>Workspace</legend>
      <Field
        label="Directory on the host"
        value={form.workspace}
        onInput={(workspace) => change({ workspace })}
        placeholder="/home/me/src/app"
        problem={problems.workspace}
        help="Imported once the machine runs"
        isMono
      />
      <Field
        label="Directory in the machine"
        value={form.workspacePath}
        onInput={(workspacePath) => change({ workspacePath })}
        placeholder="/workspace"
        problem={problems.workspacePath}
        isMono
      />
    </fieldset>
  );
}
