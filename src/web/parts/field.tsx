import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

interface FieldProps {
  label: string;
  value: string;
  onInput: (value: string) => void;
  placeholder?: string;
  help?: string;
  problem?: string | undefined;
  type?: "text" | "number" | "search";
  isMono?: boolean;
  list?: string | undefined;
}

export function Field(props: FieldProps) {
  const { label, value, onInput, placeholder, help, problem, type = "text", isMono, list } = props;
  const id = useId();
  const note = problem ?? help;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        type={type}
        class={isMono ? "mono" : ""}
        value={value}
        placeholder={placeholder}
        list={list}
        autocomplete="off"
        spellcheck={false}
        aria-invalid={problem !== undefined}
        aria-describedby={note ? `${id}-note` : undefined}
        onInput={({ currentTarget }) => onInput(currentTarget.value)}
      />
      <Note id={id} note={note} isProblem={problem !== undefined} />
    </div>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  onInput: (value: string) => void;
  children: ComponentChildren;
  help?: string | undefined;
  problem?: string | undefined;
}

export function Choice({ label, value, onInput, children, help, problem }: ChoiceProps) {
  const id = useId();
  const note = problem ?? help;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select
        id={id}
        value={value}
        aria-invalid={problem !== undefined}
        aria-describedby={note ? `${id}-note` : undefined}
        onInput={({ currentTarget }) => onInput(currentTarget.value)}
      >
        {children}
      </select>
      <Note id={id} note={note} isProblem={problem !== undefined} />
    </div>
  );
}

interface TextProps {
  label: string;
  value: string;
  onInput: (value: string) => void;
  placeholder?: string;
  help?: string;
  problem?: string | undefined;
  rows?: number;
}

export function TextField(props: TextProps) {
  const { label, value, onInput, placeholder, help, problem, rows = 3 } = props;
  const id = useId();
  const note = problem ?? help;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <textarea
        id={id}
        class="mono"
        rows={rows}
        value={value}
        placeholder={placeholder}
        spellcheck={false}
        aria-invalid={problem !== undefined}
        aria-describedby={note ? `${id}-note` : undefined}
        onInput={({ currentTarget }) => onInput(currentTarget.value)}
      />
      <Note id={id} note={note} isProblem={problem !== undefined} />
    </div>
  );
}

interface CheckProps {
  label: string;
  isChecked: boolean;
  onInput: (isChecked: boolean) => void;
  title?: string;
}

export function Check({ label, isChecked, onInput, title }: CheckProps) {
  return (
    <label class="check" title={title}>
      <input
        type="checkbox"
        checked={isChecked}
        onChange={({ currentTarget }) => onInput(currentTarget.checked)}
      />
      {label}
    </label>
  );
}

interface NoteProps {
  /** Of the field. */
  id: string;
  note: string | undefined;
  isProblem: boolean;
}

function Note({ id, note, isProblem }: NoteProps) {
  if (!note) return null;
  return (
    <p id={`${id}-note`} class={isProblem ? "note bad" : "note"}>
      {note}
    </p>
  );
}
