import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Button } from "./button.tsx";

interface Question {
  title: string;
  body: ComponentChildren;
  confirm: string;
  isDanger: boolean;
  answer: (isYes: boolean) => void;
}

const question = signal<Question | undefined>(undefined);

/** Asks before something that cannot be undone. */
export function confirm(
  title: string,
  {
    body = "",
    confirm: label,
    isDanger = false,
  }: { body?: ComponentChildren; confirm: string; isDanger?: boolean },
): Promise<boolean> {
  question.value?.answer(false);
  return new Promise((resolve) => {
    question.value = {
      title,
      body,
      confirm: label,
      isDanger,
      answer(isYes) {
        question.value = undefined;
        resolve(isYes);
      },
    };
  });
}

export function Dialogs() {
  const asked = question.value;
  if (!asked) return null;
  return (
    <Dialog title={asked.title} onClose={() => asked.answer(false)}>
      <div class="dialog-body">{asked.body}</div>
      <div class="dialog-actions">
        <Button onClick={() => asked.answer(false)}>Cancel</Button>
        <Button kind={asked.isDanger ? "danger" : "main"} onClick={() => asked.answer(true)}>
          {asked.confirm}
        </Button>
      </div>
    </Dialog>
  );
}

interface DialogProps {
  title: string;
  children: ComponentChildren;
  onClose: () => void;
}

export function Dialog({ title, children, onClose }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog ref={ref} class="dialog" aria-label={title} onCancel={onClose}>
      <h2>{title}</h2>
      {children}
    </dialog>
  );
}
