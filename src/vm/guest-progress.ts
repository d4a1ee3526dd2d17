/** Events of a guest that boots, as steps for people. */
import type { OnProgress } from "#base/progress.ts";
import type { AgentEvent } from "#guest/event.ts";

/** What is being done from a phase on; where nothing is, it ends no step. */
function workAfter(phase: AgentEvent["phase"], text: string): string | undefined {
  if (phase === "mounted") return "Setting up the machine";
  if (phase === "installing") return text.split("\n")[0] || "Installing";
  if (phase === "starting") return `Starting ${text}`;
  return undefined;
}

/** What a guest's events are as steps: those of an installation in its own words, its output behind them. */
export function guestProgress(onProgress: OnProgress): (event: AgentEvent) => void {
  let title = "";
  return ({ kind, phase, text }) => {
    if (kind === "log") {
      if (title) onProgress({ step: `guest ${title}`, message: `${title}: ${text}` });
      return;
    }
    // What a step said last is not what it is called when it is over.
    if (title) onProgress({ step: `guest ${title}`, message: title });
    const next = workAfter(phase, text);
    if (!next) return;
    title = next;
    onProgress({ step: `guest ${title}`, message: title });
  };
}
