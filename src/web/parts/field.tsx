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
      {note && (
        <p id={`${id}-note`} class={problem ? "note bad" : "note"}>
          {note}
        </p>
      )}
    </div>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  onInput: (value: string) => void;
  children: ComponentChildren;
  help?: string;
}

export function Choice({ label, value, onInput, children, help }: ChoiceProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select
        id={id}
        value={value}
        aria-describedby={help ? `${id}-note` : undefined}
        onInput={({ currentTarget }) => onInput(currentTarget.value)}
      >
        {children}
      </select>
      {help && (
        <p id={`${id}-note`} class="note">
          {help}
        </p>
      )}
    </div>
  );
}

interface TextProps {
  label: string;
  value: string;
  onInput: (value: string) => void;
  placeholder?: string;
  help?: string;
  rows?: number;
}

export function TextField({ label, value, onInput, placeholder, help, rows = 3 }: TextProps) {
  const id = useId();
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
        aria-describedby={help ? `${id}-note` : undefined}
        onInput={({ currentTarget }) => onInput(currentTarget.value)}
      />
      {help && (
        <p id={`${id}-note`} class="note">
          {help}
        </p>
      )}
    </div>
  );
}
