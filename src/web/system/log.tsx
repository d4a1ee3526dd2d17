import { useState } from "preact/hooks";
import { daemon } from "#web/link/daemon.ts";
import { Button } from "#web/parts/button.tsx";
import { useLoad } from "#web/parts/load.ts";
import { Trouble } from "#web/parts/trouble.tsx";

interface Line {
  at: string;
  level: string;
  message: string;
}

export function DaemonLog() {
  const [filter, setFilter] = useState("");
  const { value, failure, reload } = useLoad(
    (signal) => daemon.system.logs(undefined, { signal }),
    [],
  );
  const words = filter.toLowerCase();
  const lines = (value?.lines ?? [])
    .filter((line) => line.toLowerCase().includes(words))
    .map(parse)
    .reverse();
  return (
    <section class="block" aria-label="Daemon log">
      <h2>Daemon log</h2>
      <div class="toolbar">
        <input
          type="search"
          aria-label="Filter the log"
          placeholder="Filter"
          value={filter}
          onInput={({ currentTarget }) => setFilter(currentTarget.value)}
        />
        <Button onClick={reload}>Reload</Button>
      </div>
      {failure && <Trouble failure={failure} />}
      <div class="log short" tabIndex={0} role="log" aria-label="Daemon log, newest first">
        {lines.map(({ at, level, message }, index) => (
          <p key={index} class={`log-line ${level.toLowerCase()}`}>
            <span class="dim">{at.replace("T", " ").replace(/\.\d+Z$/, "")}</span>{" "}
            <span class="level">{level}</span> {message}
          </p>
        ))}
      </div>
    </section>
  );
}

/** A line of JSON; what is none, such as a trace of the runtime, is shown as it is. */
function parse(line: string): Line {
  try {
    const {
      "@timestamp": at = "",
      level = "",
      message = "",
    } = JSON.parse(line) as Partial<Record<"@timestamp" | keyof Line, unknown>>;
    return { at: String(at), level: String(level), message: String(message) };
  } catch {
    return { at: "", level: "", message: line };
  }
}
