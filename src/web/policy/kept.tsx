/** Answers that are kept for all machines that ask. */
import { daemon } from "#web/link/daemon.ts";
import { questions } from "#web/link/questions.ts";
import { runTask } from "#web/link/tasks.ts";
import { Button } from "#web/parts/button.tsx";
import { useLoad } from "#web/parts/load.ts";
import { Table } from "#web/parts/table.tsx";
import { Trouble } from "#web/parts/trouble.tsx";
import { visibleName } from "#web/parts/visible.ts";

export function KeptAnswers() {
  // An answer closes a question, and may be kept.
  const { value, failure, reload } = useLoad(
    (signal) => daemon.policy.answers(undefined, { signal }),
    [questions.value.map(({ id }) => id).join(" ")],
  );
  return (
    <section class="block" aria-label="Answers for all machines">
      <h2>Answers for all machines</h2>
      {failure && <Trouble failure={failure} onRetry={reload} />}
      {value?.length === 0 && (
        <p class="dim">None is kept. "Always" and "Deny always" keep one for machines that ask.</p>
      )}
      {value && value.length > 0 && (
        <Table caption="Answers for all machines" columns={["Answer", "Destination"]} hasActions>
          {value.map(({ rule, allow }) => (
            <tr key={rule}>
              <td class={allow ? "ok" : "bad"}>{allow ? "allow" : "deny"}</td>
              <td class="mono wrap">{visibleName(rule)}</td>
              <td class="end">
                <Button
                  kind="quiet"
                  label={`Forget the answer for ${visibleName(rule)}`}
                  onClick={() => void forget(rule).then(reload)}
                >
                  forget
                </Button>
              </td>
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}

async function forget(rule: string): Promise<void> {
  await runTask(`Forget the answer for ${visibleName(rule)}`, () => daemon.policy.forget({ rule }));
}
