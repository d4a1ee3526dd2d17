/** Work that takes a while, with the reports that come of it: what the tray at the bottom shows. */
import { signal } from "@preact/signals";
import type { OnProgress, Progress } from "#sdk/stream.ts";
import { type Failure, failureOf } from "./failure.ts";

export interface Stage {
  step: string;
  message: string;
  began_ms: number;
  ended_ms: number | undefined;
  /** From 0 to 1, where it is known. */
  part: number | undefined;
  lines: readonly string[];
}

export interface Task {
  id: number;
  label: string;
  began_ms: number;
  ended_ms: number | undefined;
  stages: readonly Stage[];
  failure: Failure | undefined;
  /** Path of the page about its result. */
  href: string | undefined;
  cancel: (() => void) | undefined;
}

const LINES_MAX = 500;
const DONE_SHOWN_MS = 4000;

export const tasks = signal<readonly Task[]>([]);
let count = 0;

export interface Work {
  signal: AbortSignal;
  onProgress: OnProgress;
}

/** Runs it and gives its result; undefined if it failed, which the task then shows. */
export async function runTask<T>(
  label: string,
  work: (work: Work) => Promise<T>,
  { hrefOf, isLong = false }: { hrefOf?: (result: T) => string; isLong?: boolean } = {},
): Promise<T | undefined> {
  const abort = new AbortController();
  const id = ++count;
  const began_ms = Date.now();
  tasks.value = [
    ...tasks.value,
    {
      id,
      label,
      began_ms,
      ended_ms: undefined,
      stages: [],
      failure: undefined,
      href: undefined,
      cancel: isLong ? () => abort.abort() : undefined,
    },
  ];
  try {
    const onProgress: OnProgress = (report) =>
      update(id, ({ stages }) => ({ stages: withReport(stages, report) }));
    const result = await work({ signal: abort.signal, onProgress });
    finish(id, { href: hrefOf?.(result) });
    setTimeout(() => dismissTask(id), DONE_SHOWN_MS);
    return result;
  } catch (error) {
    finish(id, { failure: failureOf(error) });
    return undefined;
  }
}

export function dismissTask(id: number): void {
  tasks.value = tasks.value.filter((task) => task.id !== id);
}

export function withReport(stages: readonly Stage[], report: Progress): readonly Stage[] {
  const now = Date.now();
  const { step, message, done, total, lines = [] } = report;
  const part = done !== undefined && total ? Math.min(1, done / total) : undefined;
  const at = stages.findIndex((stage) => stage.step === step);
  const known = stages[at];
  if (!known) {
    const ended = stages.map((stage) => ({ ...stage, ended_ms: stage.ended_ms ?? now }));
    return [...ended, { step, message, began_ms: now, ended_ms: undefined, part, lines }];
  }
  const next = { ...known, message, part, lines: [...known.lines, ...lines].slice(-LINES_MAX) };
  return stages.with(at, next);
}

function finish(id: number, result: { failure?: Failure; href?: string | undefined }): void {
  const ended_ms = Date.now();
  update(id, ({ stages }) => ({
    ended_ms,
    cancel: undefined,
    stages: stages.map((stage) => ({ ...stage, ended_ms: stage.ended_ms ?? ended_ms })),
    ...result,
  }));
}

function update(id: number, change: (task: Task) => Partial<Task>): void {
  tasks.value = tasks.value.map((task) => (task.id === id ? { ...task, ...change(task) } : task));
}
