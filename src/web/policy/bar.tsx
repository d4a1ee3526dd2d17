/** Below the bar of every page: what machines wait for, with the answers. */
import { useState } from "preact/hooks";
import type { PolicyAnswer, PolicyQuestion } from "#api/network.ts";
import { vmHref } from "#web/app/route.ts";
import { daemon } from "#web/link/daemon.ts";
import { questions } from "#web/link/questions.ts";
import { runTask } from "#web/link/tasks.ts";
import { Button } from "#web/parts/button.tsx";
import { now_s } from "#web/parts/clock.ts";
import { Menu } from "#web/parts/menu.tsx";
import { ANSWERS, destinationOf, inOrder, LASTING_DENIALS, secondsLeft } from "./question.ts";

const SHOWN_MAX = 3;

export function QuestionBar() {
  const [isWhole, setWhole] = useState(false);
  const open = inOrder(questions.value);
  if (open.length === 0) return null;
  const shown = isWhole ? open : open.slice(0, SHOWN_MAX);
  const [first] = open;
  return (
    <section class="questions" aria-label="Held connections">
      <p class="hidden" role="status">
        {first && `${first.vm} waits for ${destinationOf(first)}, ${open.length} in all`}
      </p>
      <ul>
        {shown.map((each) => (
          <li key={each.id}>
            <Asked question={each} />
            <AnswerButtons question={each} />
          </li>
        ))}
      </ul>
      {open.length > SHOWN_MAX && (
        <Button kind="quiet" onClick={() => setWhole(!isWhole)}>
          {isWhole ? "fewer" : `${open.length - SHOWN_MAX} more`}
        </Button>
      )}
    </section>
  );
}

function Asked({ question }: { question: PolicyQuestion }) {
  const { vm, name, address } = question;
  return (
    <span class="asked">
      <a href={vmHref(vm, "policy")}>{vm}</a> waits for{" "}
      <strong class="mono wrap">{destinationOf(question)}</strong>
      {name !== undefined && address !== undefined && <span class="dim mono"> {address}</span>}
      <span class="dim" role="timer">
        {" "}
        {secondsLeft(question, now_s.value)} s
      </span>
    </span>
  );
}

export function AnswerButtons({ question }: { question: PolicyQuestion }) {
  const where = `${question.vm} to ${destinationOf(question)}`;
  return (
    <span class="answers">
      {ANSWERS.map(({ label, allow, scope }) => (
        <Button
          key={label}
          kind={allow ? "plain" : "danger"}
          label={`${label}: ${where}`}
          title={scope === "always" ? "For all machines that ask" : undefined}
          onClick={() => void answer({ id: question.id, allow, scope }, label, where)}
        >
          {label}
        </Button>
      ))}
      <Menu
        label={`More answers: ${where}`}
        items={LASTING_DENIALS.map(({ label, allow, scope }) => ({
          label,
          isDanger: true,
          onSelect: () => void answer({ id: question.id, allow, scope }, label, where),
        }))}
      />
    </span>
  );
}

async function answer(given: PolicyAnswer, label: string, where: string): Promise<void> {
  await runTask(`${label}: ${where}`, () => daemon.policy.answer(given));
}
