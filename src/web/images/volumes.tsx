/** Volumes: disks that outlive their machines. */
import { useState } from "preact/hooks";
import type { Volume } from "#api/mount/mount.ts";
import { vmHref } from "#web/app/route.ts";
import { daemon } from "#web/link/daemon.ts";
import { runTask } from "#web/link/tasks.ts";
import { Button } from "#web/parts/button.tsx";
import { confirm } from "#web/parts/dialog.tsx";
import { Field } from "#web/parts/field.tsx";
import { ago, parseBytes, size } from "#web/parts/format.ts";
import { useLoad } from "#web/parts/load.ts";
import { Table } from "#web/parts/table.tsx";
import { Trouble } from "#web/parts/trouble.tsx";

export function Volumes() {
  const { value, failure, reload } = useLoad(
    (signal) => daemon.volume.list(undefined, { signal }),
    [],
  );
  const [grown, setGrown] = useState<string | undefined>(undefined);
  return (
    <section class="block" aria-label="Volumes">
      <h2>Volumes</h2>
      {failure && <Trouble failure={failure} onRetry={reload} />}
      {value?.length === 0 && (
        <p class="dim">None. A volume is a disk that stays when its machines are removed.</p>
      )}
      {value && value.length > 0 && (
        <Table
          caption="Volumes"
          columns={["Name", "Size", { label: "Used", isWide: true }, "Mounted by", "Age"]}
          hasActions
        >
          {value.map((volume) => (
            <Row
              key={volume.name}
              volume={volume}
              isGrown={grown === volume.name}
              onGrow={(isOpen) => setGrown(isOpen ? volume.name : undefined)}
              reload={reload}
            />
          ))}
        </Table>
      )}
      <NewVolume reload={reload} />
    </section>
  );
}

interface RowProps {
  volume: Volume;
  /** Whether its new size is asked for. */
  isGrown: boolean;
  onGrow: (isOpen: boolean) => void;
  reload: () => void;
}

function Row({ volume, isGrown, onGrow, reload }: RowProps) {
  const { name, size_bytes, allocated_bytes, machines, createdAt } = volume;
  return (
    <>
      <tr>
        <td class="mono">{name}</td>
        <td class="number">{size(size_bytes)}</td>
        <td class="number wide-only">{size(allocated_bytes)}</td>
        <td>
          {machines.length === 0 && <span class="dim">none</span>}
          <span class="words">
            {machines.map((machine) => (
              <a key={machine} href={vmHref(machine)}>
                {machine}
              </a>
            ))}
          </span>
        </td>
        <td class="dim">{ago(createdAt)}</td>
        <td class="end">
          <Button
            kind="quiet"
            label={`Grow volume ${name}`}
            isPressed={isGrown}
            onClick={() => onGrow(!isGrown)}
          >
            grow
          </Button>
          <Button
            kind="quiet"
            label={`Remove volume ${name}`}
            isDisabled={machines.length > 0}
            title={machines.length > 0 ? "A machine mounts it" : undefined}
            onClick={() => void remove(volume).then(reload)}
          >
            remove
          </Button>
        </td>
      </tr>
      {isGrown && (
        <tr>
          <td colSpan={6}>
            <Grow
              volume={volume}
              onDone={() => {
                onGrow(false);
                reload();
              }}
            />
          </td>
        </tr>
      )}
    </>
  );
}

function Grow({ volume, onDone }: { volume: Volume; onDone: () => void }) {
  const { name, size_bytes } = volume;
  const [text, setText] = useState("");
  const wanted = parseBytes(text, "G");
  const isRight = wanted !== undefined && wanted > size_bytes;
  const submit = async (bytes: number): Promise<void> => {
    const grown = await runTask(`Grow volume ${name} to ${size(bytes)}`, () =>
      daemon.volume.resize({ name, size_bytes: bytes }),
    );
    if (grown) onDone();
  };
  return (
    <form
      class="inline-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (isRight) void submit(wanted);
      }}
    >
      <Field
        label={`New size of ${name}`}
        value={text}
        onInput={setText}
        placeholder="such as 100G"
        problem={text === "" || isRight ? undefined : `a size above ${size(size_bytes)}`}
      />
      <Button type="submit" kind="main" isDisabled={!isRight}>
        Grow
      </Button>
    </form>
  );
}

function NewVolume({ reload }: { reload: () => void }) {
  const [name, setName] = useState("");
  const [text, setText] = useState("");
  const size_bytes = parseBytes(text, "G");
  const isRight = text.trim() === "" || size_bytes !== undefined;
  const submit = async (): Promise<void> => {
    const wanted = name.trim();
    const made = await runTask(`Create volume ${wanted}`, () =>
      daemon.volume.create({
        name: wanted,
        ...(size_bytes === undefined ? {} : { size_bytes }),
      }),
    );
    if (!made) return;
    setName("");
    setText("");
    reload();
  };
  return (
    <form
      class="inline-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (isRight && name.trim() !== "") void submit();
      }}
    >
      <Field label="Name of the volume" value={name} onInput={setName} placeholder="cache" isMono />
      <Field
        label="Size"
        value={text}
        onInput={setText}
        placeholder="default, such as 50G"
        problem={isRight ? undefined : "a size, such as 50G"}
      />
      <Button type="submit" isDisabled={!isRight || name.trim() === ""}>
        Create volume
      </Button>
    </form>
  );
}

async function remove({ name, allocated_bytes }: Volume): Promise<void> {
  const isSure = await confirm(`Remove volume "${name}"?`, {
    body: `Its data (${size(allocated_bytes)}) is gone then.`,
    confirm: "Remove",
    isDanger: true,
  });
  if (isSure) await runTask(`Remove volume ${name}`, () => daemon.volume.remove({ name }));
}
