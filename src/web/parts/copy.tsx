import { useState } from "preact/hooks";

const SHOWN_MS = 1500;

/** A command line, or anything else that is to be pasted elsewhere. */
export function Copyable({ text, label = "Copy" }: { text: string; label?: string }) {
  const [isCopied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), SHOWN_MS);
  };
  return (
    <span class="copyable">
      <code>{text}</code>
      <button
        type="button"
        class="button quiet"
        onClick={() => void copy()}
        aria-label={`${label}: ${text}`}
      >
        {isCopied ? "copied" : "copy"}
      </button>
    </span>
  );
}
