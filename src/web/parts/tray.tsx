/** Work that goes on or has failed, at the bottom of every page. */
import { useEffect } from "preact/hooks";
import { dismissTask, type Stage, type Task, tasks } from "#web/link/tasks.ts";
import { Button } from "./button.tsx";
import { now_tenth, useFineClock } from "./clock.ts";
import { stopwatch } from "./format.ts";
import { plain } from "./plain.ts";
import { Trouble } from "./trouble.tsx";
import { visible, visibleName } from "./visible.ts";

export function Tray() {
  const shown = tasks.value;
  return (
    <section class="tray" aria-label="Tasks" aria-live="polite" hidden={shown.length === 0}>
      {shown.map((task) => (
        <TaskLine key={task.id} task={task} />
      ))}
    </section>
  );
}

function TaskLine({ task }: { task: Task }) {
  const { id, label, failure, stages, href, cancel, ended_ms } = task;
  const stage = stages.at(-1);
  return (
    <div class={`task ${failure ? "failed" : ended_ms ? "done" : "busy"}`}>
      <div class="task-head">
        <strong>{href ? <a href={href}>{label}</a> : label}</strong>
        {!ended_ms && stage && <span class="dim">{visibleName(stage.message)}</span>}
        <Stopwatch began_ms={task.began_ms} ended_ms={ended_ms} />
        {cancel && (
          <Button kind="quiet" label={`Cancel: ${label}`} onClick={cancel}>
            cancel
          </Button>
        )}
        {ended_ms && (
          <Button kind="quiet" label={`Dismiss: ${label}`} onClick={() => dismissTask(id)}>
            ×
          </Button>
        )}
      </div>
      {failure && <Trouble failure={failure} />}
    </div>
  );
}

export function Stopwatch({
  began_ms,
  ended_ms,
}: {
  began_ms: number;
  ended_ms: number | undefined;
}) {
  useEffect(() => (ended_ms === undefined ? useFineClock() : undefined), [ended_ms]);
  const end = ended_ms ?? Math.max(began_ms, now_tenth.value);
  return <span class="stopwatch">{stopwatch(end - began_ms)}</span>;
}

/** Each stage with its time, as it happens. */
export function Stages({ task }: { task: Task }) {
  return (
    <div class="stages">
      <ol>
        {task.stages.map((stage) => (
          <StageLine key={stage.step} stage={stage} />
        ))}
      </ol>
      {task.failure && <Trouble failure={task.failure} />}
      <p class="total">
        <span>{task.failure ? "Failed" : task.ended_ms ? "Done" : "Working"}</span>
        <Stopwatch began_ms={task.began_ms} ended_ms={task.ended_ms} />
      </p>
    </div>
  );
}

function StageLine({ stage }: { stage: Stage }) {
  const { message, part, lines, began_ms, ended_ms } = stage;
  return (
    <li class={ended_ms ? "done" : "busy"}>
      <span class="stage-name">{visibleName(message)}</span>
      {part !== undefined && !ended_ms && (
        <progress value={part} max={1} aria-label={visibleName(message)}>
          {Math.round(part * 100)}%
        </progress>
      )}
      <Stopwatch began_ms={began_ms} ended_ms={ended_ms} />
      {lines.length > 0 && <pre class="output">{visible(plain(lines.slice(-12).join("\n")))}</pre>}
    </li>
  );
}
