/** Volumes of a new machine: existing ones, or new ones with a size. */
import { useId } from "preact/hooks";
import type { Volume } from "#api/mount/mount.ts";
import { Button } from "#web/parts/button.tsx";
import { Check, Field } from "#web/parts/field.tsx";
import { size } from "#web/parts/format.ts";
import { NO_VOLUME, VOLUMES_MAX, type VolumeRow } from "./mounts.ts";

interface VolumesProps {
  rows: readonly VolumeRow[];
  known: readonly Volume[];
  problem: string | undefined;
  onChange: (rows: VolumeRow[]) => void;
}

export function VolumesField({ rows, known, problem, onChange }: VolumesProps) {
  const list = useId();
  const change = (at: number, part: Partial<VolumeRow>) =>
    onChange(rows.map((row, index) => (index === at ? { ...row, ...part } : row)));
  return (
    <section class="rows-field" aria-label="Volumes">
      <datalist id={list}>
        {known.map(({ name, size_bytes }) => (
          <option key={name} value={name}>
            {size(size_bytes)}
          </option>
        ))}
      </datalist>
      {rows.map((row, index) => {
        const found = known.find(({ name }) => name === row.name.trim());
        return (
          <div key={index} role="group" aria-label={`Volume ${index + 1}`} class="field-row">
            <Field
              label="Volume"
              value={row.name}
              onInput={(name) => change(index, { name })}
              placeholder="an existing or a new name"
              help={found && usersOf(found)}
              list={list}
              isMono
            />
            <Field
              label="Path in the machine"
              value={row.path}
              onInput={(path) => change(index, { path })}
              placeholder="/var/lib/data"
              isMono
            />
            {!found && (
              <Field
                label="Size of a new volume"
                value={row.size}
                onInput={(text) => change(index, { size: text })}
                placeholder="default, such as 10G"
              />
            )}
            <Check
              label="Read-only"
              isChecked={row.readOnly}
              onInput={(readOnly) => change(index, { readOnly })}
            />
            <Button
              kind="quiet"
              label={`Remove volume ${index + 1}`}
              onClick={() => onChange(rows.filter((_, at) => at !== index))}
            >
              remove
            </Button>
          </div>
        );
      })}
      {problem && (
        <p class="note bad" role="alert">
          {problem}
        </p>
      )}
      <Button
        isDisabled={rows.length >= VOLUMES_MAX}
        onClick={() => onChange([...rows, NO_VOLUME])}
      >
        Add a volume
      </Button>
    </section>
  );
}

function usersOf({ size_bytes, machines }: Volume): string {
  const users = machines.length === 0 ? "not mounted" : `mounted by ${machines.join(", ")}`;
  return `${size(size_bytes)}, ${users}`;
}
