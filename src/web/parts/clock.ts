/** The time, for what shows how long something has taken. */
import { signal } from "@preact/signals";

export const now_s = signal(Date.now());
setInterval(() => {
  now_s.value = Date.now();
}, 1000);

/** Finer, while work goes on. */
export const now_tenth = signal(Date.now());
let users = 0;
let timer: ReturnType<typeof setInterval> | undefined;

export function useFineClock(): () => void {
  users++;
  timer ??= setInterval(() => {
    now_tenth.value = Date.now();
  }, 100);
  return () => {
    if (--users > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}
