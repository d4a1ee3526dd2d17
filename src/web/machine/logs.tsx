/** What the machine's command prints, or its console, as it comes. */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Vm } from "#api/vm.ts";
import { daemon } from "#web/link/daemon.ts";
import { type Failure, failureOf } from "#web/link/failure.ts";
import { generation } from "#web/link/machines.ts";
import { Button } from "#web/parts/button.tsx";
import { plain } from "#web/parts/plain.ts";
import { Trouble } from "#web/parts/trouble.tsx";

const TAIL_LINES = 2000;
const KEPT_MAX_CHARS = 512 * 1024;
const DRAW_EVERY_MS = 60;
export function LogsTab({ vm }: { vm: Vm }) {
  const [isConsole, setConsole] = useState(vm.command === undefined);
  const [filter, setFilter] = useState("");
  const [isFollowing, setFollowing] = useState(true);
  const { text, failure } = useLog(vm.id, isConsole);
  const ref = useRef<HTMLPreElement>(null);
  const words = filter.toLowerCase();
  const shown = words
    ? text
        .split("\n")
        .filter((line) => line.toLowerCase().includes(words))
        .join("\n")
    : text;
  useLayoutEffect(() => {
    if (isFollowing && ref.current) ref.current.scrollTop = ref.current.scrollHeight;
  }, [shown, isFollowing]);
  return (
    <>
      <div class="toolbar">
        <Button isPressed={!isConsole} onClick={() => setConsole(false)}>
          Output
        </Button>
        <Button isPressed={isConsole} onClick={() => setConsole(true)}>
          Console
        </Button>
        <input
          type="search"
          aria-label="Filter lines"
          placeholder="Filter lines"
          value={filter}
          onInput={({ currentTarget }) => setFilter(currentTarget.value)}
        />
        <Button isPressed={isFollowing} onClick={() => setFollowing(!isFollowing)}>
          Follow
        </Button>
      </div>
      {failure && <Trouble failure={failure} />}
      <pre
        ref={ref}
        class="log"
        tabIndex={0}
        role="log"
        aria-label={isConsole ? "Console" : "Output"}
      >
        {shown || (failure ? "" : "Nothing was printed yet.")}
      </pre>
    </>
  );
}

function useLog(vm: string, isConsole: boolean): { text: string; failure: Failure | undefined } {
  const [text, setText] = useState("");
  const [failure, setFailure] = useState<Failure | undefined>(undefined);
  const reached = generation.value;
  useEffect(() => {
    const abort = new AbortController();
    let kept = "";
    let timer: ReturnType<typeof setTimeout> | undefined;
    const draw = () => {
      timer = undefined;
      setText(kept);
    };
    setText("");
    setFailure(undefined);
    void (async () => {
      try {
        const input = { name: vm, follow: true, tail: TAIL_LINES, console: isConsole };
        for await (const chunk of await daemon.vm.logs(input, { signal: abort.signal })) {
          kept = (kept + plain(chunk.text)).slice(-KEPT_MAX_CHARS);
          timer ??= setTimeout(draw, DRAW_EVERY_MS);
        }
      } catch (error) {
        if (!abort.signal.aborted) setFailure(failureOf(error));
      }
    })();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [vm, isConsole, reached]);
  return { text, failure };
}
