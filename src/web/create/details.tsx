/** What most machines do not need: kernel, command, environment. */
import { daemon } from "#web/link/daemon.ts";
import { Choice, Field, TextField } from "#web/parts/field.tsx";
import { useLoad } from "#web/parts/load.ts";
import type { PartProps } from "./basics.tsx";

export function Details({ form, problems, change }: PartProps) {
  const { value: kernels = [] } = useLoad(
    (signal) => daemon.kernel.list(undefined, { signal }),
    [],
  );
  return (
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
        problem={problems.env}
        help="One NAME=value a line; visible in ps"
      />
      <TextField
        label="Labels"
        value={form.labels}
        onInput={(labels) => change({ labels })}
        placeholder="team=web"
        problem={problems.labels}
        help="One name=value a line"
      />
    </fieldset>
  );
}
