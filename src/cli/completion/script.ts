import { script } from "@bomb.sh/tab";

export const SHELLS = ["bash", "zsh", "fish"] as const;

/** What the shell is to load. It calls `banger complete -- WORD…`, the last word unfinished. */
export function completionScript(shell: (typeof SHELLS)[number]): string {
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
  return (
    printed
      // Loading the script a second time is no mistake.
      .replaceAll(/^readonly (?=ShellCompDirective)/gm, "")
      // What is being typed must be handed over, not run.
      .replace(BASH_WORDS, BASH_QUOTED)
      // The shell replaces no more than what stands behind the "=".
      .replace("    COMPREPLY=( $(compgen -W", `    ${BASH_VALUE}\n    COMPREPLY=( $(compgen -W`)
      .replace("complete -F ", "complete -o default -F ")
      .trimEnd()
  );
}

const BASH_WORDS = `\${words[@]:1}`;
const BASH_QUOTED = `$(for word in "\${words[@]:1:cword-1}"; do printf '%q ' "$word"; done)\${cur:+$(printf '%q' "$cur")}`;
const BASH_VALUE = `[[ "$cur" == -*=* ]] && cur="\${cur#*=}"`;
