import { useEffect, useId, useRef, useState } from "preact/hooks";

export interface MenuItem {
  label: string;
  onSelect: () => void;
  isDanger?: boolean;
  isDisabled?: boolean;
}

const WIDTH_PX = 190;

/** A button that opens a list of actions. */
export function Menu({ label, items }: { label: string; items: readonly MenuItem[] }) {
  const [at, setAt] = useState<{ top: number; left: number } | undefined>(undefined);
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const open = () => {
    const box = button.current?.getBoundingClientRect();
    if (box) setAt({ top: box.bottom + 2, left: Math.max(8, box.right - WIDTH_PX) });
  };
  const close = () => {
    setAt(undefined);
    button.current?.focus();
  };
  return (
    <span class="menu-anchor">
      <button
        ref={button}
        type="button"
        class="button quiet menu-button"
        aria-haspopup="menu"
        aria-expanded={at !== undefined}
        aria-controls={at ? id : undefined}
        aria-label={label}
        onClick={at ? close : open}
      >
        ⋯
      </button>
      {at && <MenuList id={id} at={at} label={label} items={items} onClose={close} />}
    </span>
  );
}

interface ListProps {
  id: string;
  at: { top: number; left: number };
  label: string;
  items: readonly MenuItem[];
  onClose: () => void;
}

function MenuList({ id, at, label, items, onClose }: ListProps) {
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = list.current;
    if (!element) return;
    // Above all, since a row of a list clips what is in it.
    element.showPopover();
    const { height } = element.getBoundingClientRect();
    element.style.top = `${Math.min(at.top, innerHeight - height - 8)}px`;
    element.style.left = `${at.left}px`;
    element.querySelector<HTMLElement>("button:not(:disabled)")?.focus();
    const outside = ({ target }: Event) => {
      if (!(target instanceof Node) || !element.parentElement?.contains(target)) onClose();
    };
    addEventListener("pointerdown", outside);
    return () => removeEventListener("pointerdown", outside);
  }, []);
  const onKeyDown = (event: KeyboardEvent) => {
    event.stopPropagation();
    if (event.key === "Escape" || event.key === "Tab") onClose();
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step === 0) return;
    event.preventDefault();
    const all = [...(list.current?.querySelectorAll<HTMLElement>("button:not(:disabled)") ?? [])];
    const now = all.findIndex((each) => each.matches(":focus"));
    all.at((now + step) % all.length)?.focus();
  };
  return (
    <div
      ref={list}
      id={id}
      class="menu"
      popover="manual"
      role="menu"
      tabIndex={-1}
      aria-label={label}
      onKeyDown={onKeyDown}
    >
      {items.map(({ label: text, onSelect, isDanger, isDisabled = false }) => (
        <button
          key={text}
          type="button"
          role="menuitem"
          class={isDanger ? "danger" : ""}
          disabled={isDisabled}
          onClick={() => {
            onClose();
            onSelect();
          }}
        >
          {text}
        </button>
      ))}
    </div>
  );
}
