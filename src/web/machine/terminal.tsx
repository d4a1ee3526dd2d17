/** Terminals in a machine: each is a session, which goes on while nobody looks. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { Session } from "#api/session.ts";
import type { Vm } from "#api/vm.ts";
import { daemon } from "#web/link/daemon.ts";
import { type Failure, failureOf } from "#web/link/failure.ts";
import { generation } from "#web/link/machines.ts";
import { Trouble } from "#web/parts/trouble.tsx";
import { Screen } from "./screen.tsx";

const PREFIX = "web-";
/** bash if the image has it. */
const SHELL = "if command -v bash >/dev/null 2>&1; then exec bash -l; else exec sh -l; fi";
/** Between two looks at one that is being started. */
const STARTING_MS = 200;
const FIRST_SIZE = { columns: 100, rows: 30 };

export function TerminalTab({ vm }: { vm: Vm }) {
  const [sessions, setSessions] = useState<readonly Session[] | undefined>(undefined);
  const [current, setCurrent] = useState("");
  const [failure, setFailure] = useState<Failure | undefined>(undefined);
  const [tries, setTries] = useState(0);
  const reached = generation.value;
  const isStarting = useRef(false);
  const tab = useRef<HTMLButtonElement>(null);
  const add = async (known: readonly Session[]): Promise<void> => {
    if (isStarting.current) return;
    isStarting.current = true;
    try {
      const made = await startShell(vm, known);
      setSessions([...known, made]);
      setCurrent(made.name);
    } catch (error) {
      setFailure(failureOf(error));
    } finally {
      isStarting.current = false;
    }
  };
  useEffect(() => {
    const abort = new AbortController();
    void loadSessions(vm.id, abort.signal).then(
      (found) => {
        if (abort.signal.aborted) return;
        setFailure(undefined);
        if (found.length === 0) return add([]);
        setSessions(found);
        setCurrent((before) =>
          found.some(({ name }) => name === before) ? before : (found[0]?.name ?? ""),
        );
        return undefined;
      },
      (error: unknown) => {
        if (!abort.signal.aborted) setFailure(failureOf(error));
      },
    );
    return () => abort.abort();
  }, [vm.id, reached, tries]);
  const close = async (name: string): Promise<void> => {
    const left = (sessions ?? []).filter((each) => each.name !== name);
    setSessions(left);
    if (current === name) setCurrent(left.at(-1)?.name ?? "");
    await daemon.session.remove({ vm: vm.id, session: name, force: true }).catch(() => {});
  };
  if (failure) {
    return (
      <Trouble
        failure={failure}
        onRetry={() => {
          setFailure(undefined);
          setTries(tries + 1);
        }}
      />
    );
  }
  if (!sessions) return <p class="dim">Opening a terminal…</p>;
  return (
    <div class="terminals">
      <div class="terminal-tabs" role="group" aria-label="Terminals">
        {sessions.map(({ name }) => (
          <span key={name} class={name === current ? "terminal-tab current" : "terminal-tab"}>
            <button
              ref={name === current ? tab : undefined}
              type="button"
              aria-pressed={name === current}
              onClick={() => setCurrent(name)}
            >
              {name}
            </button>
            <button type="button" aria-label={`Close ${name}`} onClick={() => void close(name)}>
              ×
            </button>
          </span>
        ))}
        <button type="button" class="button quiet" onClick={() => void add(sessions)}>
          + new
        </button>
      </div>
      {sessions
        .filter(({ name }) => name === current)
        .map(({ name }) => (
          <Screen
            key={name}
            vm={vm}
            session={name}
            onEnded={() => void close(name)}
            onLeave={() => tab.current?.focus()}
          />
        ))}
    </div>
  );
}

/** Those that this UI has started, whoever looked at them; one that is being started by a page that was left is waited for. */
async function loadSessions(vm: string, signal: AbortSignal): Promise<Session[]> {
  for (;;) {
    const all = await daemon.session.list({ vm }, { signal });
    const own = all.filter(({ name, terminal }) => terminal && name.startsWith(PREFIX));
    if (signal.aborted || !own.some(({ state }) => state === "starting")) {
      return own.filter(({ state }) => state === "running");
    }
    await new Promise((resolve) => setTimeout(resolve, STARTING_MS));
  }
}

async function startShell(vm: Vm, known: readonly Session[]): Promise<Session> {
  // Ended ones may be there still, whose names are taken.
  const all = [...known, ...(await daemon.session.list({ vm: vm.id }))].map(({ name }) => name);
  let number = 1;
  while (all.includes(`${PREFIX}${number}`)) number++;
  return await daemon.session.start({
    vm: vm.id,
    session: `${PREFIX}${number}`,
    argv: ["/bin/sh", "-c", SHELL],
    env: { TERM: "xterm-256color", COLORTERM: "truecolor" },
    terminal: FIRST_SIZE,
  });
}
