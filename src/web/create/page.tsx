/** Making a machine: what it is made of, the command that does the same, and the stages as they happen. */
import { useState } from "preact/hooks";
import { finish } from "#sdk/stream.ts";
import { go, vmHref } from "#web/app/route.ts";
import { daemon } from "#web/link/daemon.ts";
import { putMachine } from "#web/link/machines.ts";
import { runTask, tasks } from "#web/link/tasks.ts";
import { Button } from "#web/parts/button.tsx";
import { Copyable } from "#web/parts/copy.tsx";
import { Choice, Field, TextField } from "#web/parts/field.tsx";
import { useLoad } from "#web/parts/load.ts";
import { Stages } from "#web/parts/tray.tsx";
import { ImageSearch } from "./image-search.tsx";
import { commandOf, EMPTY, type Form, type Problems, requestOf } from "./request.ts";

type Change = (change: Partial<Form>) => void;

export function CreatePage() {
  const asked = new URLSearchParams(location.search).get("image") ?? "";
  const [form, setForm] = useState<Form>({ ...EMPTY, image: asked });
  const [label, setLabel] = useState<string | undefined>(undefined);
  const { request, problems } = requestOf(form);
  const isReady = form.image.trim() !== "" && Object.keys(problems).length === 0;
  const task =
    label === undefined ? undefined : tasks.value.findLast((each) => each.label === label);
  const change: Change = (part) => setForm((before) => ({ ...before, ...part }));
  const create = async () => {
    const text = `Create ${form.name || `a machine from ${form.image}`}`;
    setLabel(text);
    const made = await runTask(
      text,
      ({ onProgress, signal }) => finish(daemon.vm.create(request, { signal }), onProgress),
      { isLong: true, hrefOf: (vm) => vmHref(vm.name) },
    );
    if (!made) return;
    putMachine(made);
    go(vmHref(made.name));
  };
  const isBusy = task !== undefined && task.ended_ms === undefined;
  return (
    <>
      <h1>Create a machine</h1>
      <form
        class="create"
        onSubmit={(event) => {
          event.preventDefault();
          if (isReady && !isBusy) void create();
        }}
      >
        <div class="create-fields">
          <ImageSearch value={form.image} onChange={(image) => change({ image })} />
          <Basics form={form} problems={problems} change={change} />
          <Details form={form} problems={problems} change={change} />
        </div>
        <aside class="create-side" aria-label="Command and progress">
          <h2>Same as</h2>
          <Copyable text={commandOf(request)} label="Copy command" />
          <Button type="submit" kind="main" isDisabled={!isReady || isBusy}>
            {isBusy ? "Creating…" : "Create and start"}
          </Button>
          {task && <Stages task={task} />}
        </aside>
      </form>
    </>
  );
}

interface PartProps {
  form: Form;
  problems: Problems;
  change: Change;
}

function Basics({ form, problems, change }: PartProps) {
  return (
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
      <Choice label="Network" value={form.network} onInput={(network) => change({ network })}>
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
        help={problems.ports ?? "[ADDRESS:][HOST:]GUEST[/udp]"}
      />
    </fieldset>
  );
}

function Details({ form, problems, change }: PartProps) {
  const { value: kernels = [] } = useLoad(
    (signal) => daemon.kernel.list(undefined, { signal }),
    [],
  );
  return (
    <details>
      <summary>Kernel, command, environment, policy</summary>
      <fieldset>
        <legend class="hidden">More</legend>
        <Choice label="Kernel" value={form.kernel} onInput={(kernel) => change({ kernel })}>
          <option value="">the image's, or the default</option>
          {kernels.map(({ name, version }) => (
            <option key={name} value={name}>
              {name} ({version})
            </option>
          ))}
        </Choice>
        <Choice label="Mode" value={form.mode} onInput={(mode) => change({ mode })}>
          <option value="">auto</option>
          <option value="systemd">systemd: the image's init system</option>
          <option value="direct">direct: only the command</option>
        </Choice>
        <Field
          label="Command"
          value={form.command}
          onInput={(command) => change({ command })}
          placeholder="the image's"
          problem={problems.command}
          help="In direct mode"
          isMono
        />
        <Choice label="Restart" value={form.restart} onInput={(restart) => change({ restart })}>
          <option value="">no</option>
          <option value="on-failure">on failure</option>
          <option value="always">always</option>
        </Choice>
        <TextField
          label="Environment"
          value={form.env}
          onInput={(env) => change({ env })}
          placeholder="DEBUG=1"
          help={problems.env ?? "One NAME=value a line; visible in ps"}
        />
        <TextField
          label="Labels"
          value={form.labels}
          onInput={(labels) => change({ labels })}
          placeholder="team=web"
          help={problems.labels ?? "One name=value a line"}
        />
        <div class="field">
          <label class="check">
            <input
              type="checkbox"
              checked={form.isLimited}
              onChange={({ currentTarget }) => change({ isLimited: currentTarget.checked })}
            />
            Deny outbound traffic
          </label>
        </div>
        {form.isLimited && (
          <TextField
            label="Except to"
            value={form.allow}
            onInput={(allow) => change({ allow })}
            placeholder={"*.debian.org\n192.0.2.0/24:443"}
          />
        )}
      </fieldset>
    </details>
  );
}
