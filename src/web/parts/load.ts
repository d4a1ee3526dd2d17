/** What a page loads once, again when its input changes, and again when the daemon has been away. */
import { useEffect, useState } from "preact/hooks";
import { type Failure, failureOf } from "#web/link/failure.ts";
import { generation } from "#web/link/machines.ts";
import { isSame } from "./same.ts";

export interface Loaded<T> {
  value: T | undefined;
  failure: Failure | undefined;
  reload: () => void;
}

interface State<T> {
  /** The inputs that it was loaded with. */
  of: readonly unknown[];
  value?: T;
  failure?: Failure;
}

export function useLoad<T>(
  load: (signal: AbortSignal) => Promise<T>,
  inputs: readonly unknown[],
): Loaded<T> {
  const [state, setState] = useState<State<T>>({ of: inputs });
  const [count, setCount] = useState(0);
  const reached = generation.value;
  useEffect(() => {
    const abort = new AbortController();
    load(abort.signal).then(
      (value) => {
        if (!abort.signal.aborted) setState({ of: inputs, value });
      },
      (error: unknown) => {
        if (!abort.signal.aborted)
          setState(
            (before): State<T> => ({
              ...(isSame(before.of, inputs) ? before : { of: inputs }),
              failure: failureOf(error),
            }),
          );
      },
    );
    return () => abort.abort();
  }, [...inputs, count, reached]);
  // What was loaded of another input, such as the directory before, must not be taken for what is asked for now.
  const shown: State<T> = isSame(state.of, inputs) ? state : { of: inputs };
  return {
    value: shown.value,
    failure: shown.failure,
    reload: () => setCount((before) => before + 1),
  };
}

/** Reloads every so often, while the page is visible. */
export function useEvery(work: () => void, ms: number): void {
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) work();
    }, ms);
    return () => clearInterval(timer);
  });
}
