/** An image: one that is here, one of the catalog, or any reference. */
import { useId, useState } from "preact/hooks";
import { daemon } from "#web/link/daemon.ts";
import { size } from "#web/parts/format.ts";
import { useLoad } from "#web/parts/load.ts";

interface Option {
  name: string;
  detail: string;
  isHere: boolean;
}

const SHOWN_MAX = 8;

export function ImageSearch({
  value,
  onChange,
}: {
  value: string;
  onChange: (image: string) => void;
}) {
  const id = useId();
  const [isOpen, setOpen] = useState(false);
  const [active, setActive] = useState(-1);
  const { value: options = [] } = useLoad(loadOptions, []);
  const words = value.toLowerCase();
  const found = options
    .filter(({ name, detail }) => `${name} ${detail}`.toLowerCase().includes(words))
    .slice(0, SHOWN_MAX);
  const choose = (name: string) => {
    onChange(name);
    setOpen(false);
    setActive(-1);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step !== 0) {
      event.preventDefault();
      setOpen(true);
      setActive((before) => Math.max(-1, Math.min(found.length - 1, before + step)));
    }
    const option = found[active];
    if (event.key === "Enter" && isOpen && option) {
      event.preventDefault();
      choose(option.name);
    }
    if (event.key === "Escape") setOpen(false);
  };
  const isShown = isOpen && found.length > 0;
  return (
    <div class="field image-search">
      <label for={id}>Image</label>
      <input
        id={id}
        type="text"
        role="combobox"
        class="mono"
        autocomplete="off"
        spellcheck={false}
        aria-expanded={isShown}
        aria-controls={`${id}-list`}
        aria-activedescendant={active >= 0 ? `${id}-${active}` : undefined}
        placeholder="debian-bookworm, nginx, ghcr.io/example/tool:1.2"
        value={value}
        onFocus={() => setOpen(true)}
        onInput={({ currentTarget }) => {
          onChange(currentTarget.value);
          setOpen(true);
          setActive(-1);
        }}
        onKeyDown={onKeyDown}
      />
      <div id={`${id}-list`} role="listbox" aria-label="Images" class="options" hidden={!isShown}>
        {found.map(({ name, detail, isHere }, index) => (
          <div
            key={name}
            id={`${id}-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === active}
            class={index === active ? "active" : ""}
            onMouseDown={(event) => {
              event.preventDefault();
              choose(name);
            }}
          >
            <strong class="mono">{name}</strong>
            <span class="dim">{detail}</span>
            <span class={isHere ? "tag ok" : "tag"}>{isHere ? "local" : "pull"}</span>
          </div>
        ))}
      </div>
      <p class="note">A local image, one of the catalog, or any reference of a registry</p>
    </div>
  );
}

async function loadOptions(signal: AbortSignal): Promise<Option[]> {
  const [local, catalog] = await Promise.all([
    daemon.image.list(undefined, { signal }),
    daemon.image.available(undefined, { signal }),
  ]);
  const here = local.map(({ name, reference, size_bytes }) => ({
    name,
    detail: `${reference}, ${size(size_bytes)}`,
    isHere: true,
  }));
  const names = new Set(here.map(({ name }) => name));
  const more = catalog
    .filter(({ name }) => !names.has(name))
    .map(({ name, description }) => ({ name, detail: description, isHere: false }));
  return [...here, ...more];
}
