import type { ComponentChildren } from "preact";

interface ButtonProps {
  children: ComponentChildren;
  onClick?: () => void;
  kind?: "plain" | "main" | "danger" | "quiet";
  label?: string | undefined;
  isDisabled?: boolean;
  isPressed?: boolean | undefined;
  type?: "button" | "submit";
  title?: string | undefined;
}

export function Button({
  children,
  onClick,
  kind = "plain",
  label,
  isDisabled = false,
  isPressed,
  type = "button",
  title,
}: ButtonProps) {
  return (
    <button
      type={type}
      class={`button ${kind}`}
      onClick={onClick}
      aria-label={label}
      aria-pressed={isPressed}
      disabled={isDisabled}
      title={title}
    >
      {children}
    </button>
  );
}
