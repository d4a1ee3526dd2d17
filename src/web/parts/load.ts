/** What a page loads once, again when its input changes, and again when the daemon has been away. */
import { useEffect, useState } from "preact/hooks";
import { type Failure, failureOf } from "#web/link/failure.ts";
import { generation } from "#web/link/machines.ts";

export interface Loaded<T> {
  value: T | undefined;
  failure: Failure | undefined;
  reload: () => void;
}

export function useLoad<T>(
  load: (signal: AbortSignal) => Promise<T>,
  inputs: readonly unknown[],
): Loaded<T> {
  const [state, setState] = useState<{ value?: T; failure?: Failure }>({});
  const [count, setCount] = useState(0);
  const reached = generation.value;
  useEffect(() => {
    const abort = new AbortController();
    load(abort.signal).then(
      (value) => {
        if (!abort.signal.aborted) setState({ value });
      },
      (error: unknown) => {
        if (!abort.signal.aborted)
          setState(({ value }) => ({
            ...(value === undefined ? {} : { value }),
            failure: failureOf(error),
          }));
      },
    );
    return () => abort.abort();
  }, [...inputs, count, reached]);
  return {
    value: state.value,
    failure: state.failure,
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
