import { useState } from "preact/hooks";
import { finish } from "#sdk/stream.ts";
import { daemon } from "#web/link/daemon.ts";
import { runTask, tasks } from "#web/link/tasks.ts";
import { Button } from "#web/parts/button.tsx";
import { Field, TextField } from "#web/parts/field.tsx";
import { Stages } from "#web/parts/tray.tsx";

const EXAMPLE = "FROM debian:bookworm\nRUN apt-get update && apt-get install -y curl\n";

export function Build({ onDone }: { onDone: () => void }) {
  const [name, setName] = useState("");
  const [dockerfile, setDockerfile] = useState("");
  const [context, setContext] = useState("");
  const label = `Build ${name}`;
  const task = tasks.value.findLast((each) => each.label === label);
  const isBusy = task !== undefined && !task.ended_ms;
  const build = async () => {
    const input = { name, dockerfile, ...(context ? { context } : {}) };
    const built = await runTask(
      label,
      ({ signal, onProgress }) => finish(daemon.image.build(input, { signal }), onProgress),
      { isLong: true },
    );
    if (built) onDone();
  };
  return (
    <details class="block">
      <summary>Build an image from a Dockerfile</summary>
      <form
        class="build"
        onSubmit={(event) => {
          event.preventDefault();
          void build();
        }}
      >
        <Field label="Name" value={name} onInput={setName} placeholder="my-image" isMono />
        <Field
          label="Context"
          value={context}
          onInput={setContext}
          placeholder="/home/me/project"
          help="Directory on the host that COPY and ADD read; may be empty"
          isMono
        />
        <TextField
          label="Dockerfile"
          value={dockerfile}
          onInput={setDockerfile}
          placeholder={EXAMPLE}
          rows={8}
        />
        <Button type="submit" isDisabled={!name || !dockerfile || isBusy}>
          {isBusy ? "Building…" : "Build"}
        </Button>
      </form>
      {task && <Stages task={task} />}
    </details>
  );
}
