import type { ComponentChildren } from "preact";
import type { Failure } from "#web/link/failure.ts";
import { Button } from "./button.tsx";
import { Copyable } from "./copy.tsx";
import { visible } from "./visible.ts";

/** An error with its hint. */
export function Trouble({ failure, onRetry }: { failure: Failure; onRetry?: () => void }) {
  const { message, hint } = failure;
  return (
    <div class="trouble" role="alert">
      <p>{visible(message)}</p>
      {hint && (
        <p class="hint">
          <Hint text={hint} />
        </p>
      )}
      {onRetry && <Button onClick={onRetry}>Try again</Button>}
    </div>
  );
}

/** A command in it, or at its end, can be copied. */
export function Hint({ text }: { text: string }) {
  const [, before = "", command] = /^(.*?:\s)?((?:sudo|banger) [^;]+)$/.exec(text) ?? [];
  if (!command) return text;
  return (
    <>
      {before}
      <Copyable text={command} label="Copy command" />
    </>
  );
}

interface EmptyProps {
  title: string;
  /** Of a page that has no other heading. */
  isPage?: boolean;
  children?: ComponentChildren;
}

/** What is shown where there is nothing yet. */
export function Empty({ title, isPage = false, children }: EmptyProps) {
  const Title = isPage ? "h1" : "p";
  return (
    <div class="empty">
      <Title class="empty-title">{title}</Title>
      {children}
    </div>
  );
}
