import type { ComponentChildren } from "preact";
import type { Failure } from "#web/link/failure.ts";
import { Button } from "./button.tsx";
import { Copyable } from "./copy.tsx";

/** An error with its hint; a command in the hint can be copied. */
export function Trouble({ failure, onRetry }: { failure: Failure; onRetry?: () => void }) {
  const { message, hint } = failure;
  const [, before = "", command] = /^(.*?:\s)?((?:sudo )?banger [^;]+)$/.exec(hint ?? "") ?? [];
  return (
    <div class="trouble" role="alert">
      <p>{message}</p>
      {hint && !command && <p class="hint">{hint}</p>}
      {command && (
        <p class="hint">
          {before}
          <Copyable text={command} label="Copy command" />
        </p>
      )}
      {onRetry && <Button onClick={onRetry}>Try again</Button>}
    </div>
  );
}

/** What is shown where there is nothing yet. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children}
    </div>
  );
}
