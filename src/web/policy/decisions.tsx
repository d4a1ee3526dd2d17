/** Decisions about a machine's names and connections, as they are made; what is held can be answered. */
import { useEffect, useState } from "preact/hooks";
import type { Decision } from "#api/network.ts";
import type { Vm } from "#api/vm.ts";
import { daemon } from "#web/link/daemon.ts";
import { generation } from "#web/link/machines.ts";
import { questions } from "#web/link/questions.ts";
import { Table } from "#web/parts/table.tsx";
import { visibleName } from "#web/parts/visible.ts";
import { AnswerButtons } from "./bar.tsx";
import { destinationOf, questionOf } from "./question.ts";

const SHOWN_MAX = 200;
const RETRY_MS = 2000;
const CLASSES = { allowed: "ok", denied: "bad", asked: "asked" } as const;

/** Those since the page was opened, the oldest first. `onReached`: those before have to be loaded again. */
export function useDecisions({ id, network }: Vm, onReached: () => void): readonly Decision[] {
  const [later, setLater] = useState<readonly Decision[]>([]);
  const hasPolicy = network.policy !== undefined;
  useEffect(() => {
    if (!hasPolicy) return;
    const abort = new AbortController();
    const { signal } = abort;
    const follow = async (): Promise<void> => {
      for (let isFirst = true; !signal.aborted; isFirst = false) {
        try {
          const stream = await daemon.vm.policyEvents({ name: id }, { signal });
          setLater([]);
          if (!isFirst) onReached();
          for await (const decision of stream) {
            setLater((before) => [...before, decision].slice(-SHOWN_MAX));
          }
        } catch {
          // The list of machines tells that the daemon, or the machine, is gone.
        }
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    };
    void follow();
    return () => abort.abort();
  }, [id, hasPolicy, generation.value]);
  return later;
}

export function Decisions({ vm, decisions }: { vm: Vm; decisions: readonly Decision[] }) {
  const shown = once(decisions).slice(-SHOWN_MAX).reverse();
  const waiting = questions.value.filter(({ machineId }) => machineId === vm.id);
  // Several decisions may be about one question; the latest has its answers.
  const answered = new Set<string>();
  return (
    <section class="block" aria-label="Policy log">
      <h2>Log</h2>
      {shown.length === 0 && <p class="dim">Nothing was decided yet.</p>}
      {shown.length > 0 && (
        <Table
          caption="Policy log"
          columns={[{ label: "Time", isWide: true }, "Verdict", "Destination", "Because"]}
        >
          {shown.map((each) => {
            const found = questionOf(each, waiting);
            const question = found && !answered.has(found.id) ? found : undefined;
            if (question) answered.add(question.id);
            return (
              <tr key={keyOf(each)}>
                <td class="mono wide-only">{new Date(each.at).toLocaleTimeString()}</td>
                <td class={CLASSES[each.verdict]}>{each.verdict}</td>
                <td class="mono wrap">
                  {destinationOf(each)} <span class="dim">{each.protocol}</span>
                </td>
                <td class="wrap">
                  {question ? <AnswerButtons question={question} /> : reasonOf(each)}
                </td>
              </tr>
            );
          })}
        </Table>
      )}
    </section>
  );
}

function reasonOf({ rule, reason, secret }: Decision): string {
  const parts = [
    rule === undefined ? "" : `rule ${rule}`,
    reason ?? "",
    secret && `secret ${secret}`,
  ];
  return visibleName(parts.filter(Boolean).join("; "));
}

/** What was loaded and what came since overlap. */
function once(decisions: readonly Decision[]): Decision[] {
  return [...new Map(decisions.map((each) => [keyOf(each), each])).values()];
}

function keyOf({ at, verdict, protocol, name, address, port, secret }: Decision): string {
  return [at, verdict, protocol, name, address, port, secret].join(" ");
}
