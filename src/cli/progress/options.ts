/** The interface of progress views, and their options. */
import type { Progress } from "#base/progress.ts";
import type { Style } from "#cli/print/color.ts";

export interface ProgressView extends Disposable {
  /** `lane` tells works apart that go on side by side; it is shown before what they report. */
  report(progress: Progress, lane?: string): void;
  /** The work of the lane succeeded: what is still under way counts as finished. */
  finish(lane?: string): void;
  /** Leaves the terminal as it was; without `finish` before, what was under way has failed, if it was not cancelled. */
  [Symbol.dispose](): void;
}

export type ProgressMode = "auto" | "plain" | "quiet";

export interface ViewOptions {
  json: boolean;
  quiet: boolean;
  mode: ProgressMode;
  style(style: Style, text: string): string;
  isCancelled(): boolean;
}
