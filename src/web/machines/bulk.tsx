/** What can be done with all selected machines at once. */
import { Button } from "#web/parts/button.tsx";
import { type Action, act, can, remove, verb } from "./actions.ts";
import { selected, selectedMachines } from "./view.ts";

const ACTIONS: readonly Action[] = ["start", "stop", "restart", "suspend", "resume"];

export function Bulk() {
  const vms = selectedMachines.value;
  if (vms.length === 0) return null;
  const clear = () => {
    selected.value = new Set();
  };
  return (
    <div class="bulk" role="toolbar" aria-label="Selected machines">
      <strong role="status">{vms.length} selected</strong>
      {ACTIONS.map((action) => {
        const able = vms.filter((vm) => can(action, vm));
        return (
          <Button
            key={action}
            isDisabled={able.length === 0}
            onClick={() => void Promise.all(able.map((vm) => act(action, vm)))}
          >
            {verb(action)}
            {able.length > 0 && able.length < vms.length ? ` ${able.length}` : ""}
          </Button>
        );
      })}
      <Button
        kind="danger"
        onClick={() =>
          void remove(vms).then((isDone) => {
            if (isDone) clear();
          })
        }
      >
        Remove…
      </Button>
      <Button kind="quiet" onClick={clear}>
        Clear
      </Button>
    </div>
  );
}
