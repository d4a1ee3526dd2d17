import { useState } from "preact/hooks";
import { finish } from "#sdk/stream.ts";
import { daemon } from "#web/link/daemon.ts";
import { runTask, tasks } from "#web/link/tasks.ts";
import { Button } from "#web/parts/button.tsx";
import { Field } from "#web/parts/field.tsx";
import { useLoad } from "#web/parts/load.ts";
import { Stages } from "#web/parts/tray.tsx";

export function Pull({ onDone }: { onDone: () => void }) {
  const [reference, setReference] = useState("");
  const { value: catalog = [] } = useLoad(
    (signal) => daemon.image.available(undefined, { signal }),
    [],
  );
  const label = `Pull ${reference}`;
  const task = tasks.value.find((each) => each.label === label);
  const pull = async () => {
    const pulled = await runTask(
      label,
      ({ signal, onProgress }) =>
        finish(daemon.image.pull({ reference: reference.trim() }, { signal }), onProgress),
      { isLong: true },
    );
    if (pulled) onDone();
  };
  return (
    <section class="block" aria-label="Pull an image">
      <form
        class="inline-form"
        onSubmit={(event) => {
          event.preventDefault();
          void pull();
        }}
      >
        <Field
          label="Pull an image"
          value={reference}
          onInput={setReference}
          placeholder="debian-bookworm, ghcr.io/example/tool"
          list="catalog"
          isMono
        />
        <datalist id="catalog">
          {catalog.map(({ name, description }) => (
            <option key={name} value={name}>
              {description}
            </option>
          ))}
        </datalist>
        <Button type="submit" kind="main" isDisabled={reference.trim() === ""}>
          Pull
        </Button>
      </form>
      {task && !task.ended_ms && <Stages task={task} />}
    </section>
  );
}
