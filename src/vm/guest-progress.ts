/** Events of a guest that boots, as steps for people. */
import type { OnProgress, Progress } from "#base/progress.ts";
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
  let share = new Share();
  return ({ kind, phase, text }) => {
    if (kind === "log") {
      share.read(text);
      if (title) onProgress({ ...stepOf(title), message: `${title}: ${text}`, ...share.progress });
      return;
    }
    // What a step said last is not what it is called when it is over.
    if (title) onProgress({ ...stepOf(title), ...(phase === "failed" ? {} : share.whole) });
    const next = workAfter(phase, text);
    if (phase === "packages") title = "";
    if (!next) return;
    title = next;
    share = new Share();
    onProgress(stepOf(title));
  };
}

function stepOf(title: string) {
  return { step: `guest ${title}`, message: title };
}

/** apt's own count: "3 upgraded, 46 newly installed, 0 to remove and 0 not upgraded." */
const APT_TOTAL = /^(\d{1,5}) upgraded, (\d{1,5}) newly installed,/;
/** Of packages that the host has unpacked. */
const UNPACKED_TOTAL = /^Setting up (\d{1,5}) packages$/;
/** Each package is unpacked, and then set up. */
const APT_STEP = /^(Unpacking|Setting up) \S/;
/** apk, pacman and zypper: "(3/46) Installing openrc"; dnf5: "[ 3/46] Installing systemd"; dnf: "Installing : systemd 3/46". */
const COUNTED = /^[([] *(\d{1,5})\/(\d{1,5})[)\]] |\s(\d{1,5})\/(\d{1,5})\s*$/;

/** How far an installation is, as far as the package manager's output tells: packages of packages. */
class Share {
  #done = 0;
  #total = 0;
  #aptSteps = 0;
  #stepsOfOne = 2;

  read(line: string): void {
    const apt = APT_TOTAL.exec(line);
    if (apt) this.#total = Number(apt[1]) + Number(apt[2]);
    const unpacked = UNPACKED_TOTAL.exec(line);
    if (unpacked) {
      this.#total = Number(unpacked[1]);
      this.#stepsOfOne = 1;
    } else if (APT_STEP.test(line)) {
      this.#done = Math.floor(++this.#aptSteps / this.#stepsOfOne);
    }
    const counted = COUNTED.exec(line);
    if (!counted) return;
    this.#done = Number(counted[1] ?? counted[3]);
    this.#total = Number(counted[2] ?? counted[4]);
  }

  /** It is over when the guest says so: triggers, and other managers' checks, come after the last package. */
  get progress(): Pick<Progress, "done" | "total" | "unit"> {
    if (this.#total === 0) return {};
    const done = Math.min(this.#done, this.#total - 1);
    return { done, total: this.#total, unit: "items" };
  }

  get whole(): Pick<Progress, "done" | "total" | "unit"> {
    return this.#total === 0 ? {} : { done: this.#total, total: this.#total, unit: "items" };
  }
}
