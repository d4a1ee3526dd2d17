import { script } from "@bomb.sh/tab";
import { BASH_SCRIPT } from "./bash.ts";
import { ZSH_SCRIPT } from "./zsh.ts";

export const SHELLS = ["bash", "zsh", "fish"] as const;

/** What the shell is to load. It calls `banger complete -- WORD…`, the last word unfinished. */
export function completionScript(shell: (typeof SHELLS)[number]): string {
  if (shell === "bash") return BASH_SCRIPT;
  if (shell === "zsh") return ZSH_SCRIPT;
  let printed = "";
  const { log } = console;
  console.log = (text: string) => {
    printed += text;
  };
  try {
    script(shell, "banger", "banger");
  } finally {
    console.log = log;
  }
  return printed.trimEnd();
}
