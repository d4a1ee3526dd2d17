import { signal } from "@preact/signals";
import { Button } from "#web/parts/button.tsx";
import { Dialog } from "#web/parts/dialog.tsx";

export const isHelpOpen = signal(false);

const KEYS: readonly [string, string][] = [
  ["/", "Filter machines"],
  ["j, k", "Next, previous machine"],
  ["Enter", "Open the machine"],
  ["x", "Select the machine"],
  ["a", "Select all that are shown, or none"],
  ["s", "Start, stop or resume"],
  ["t", "Open a terminal"],
  ["n", "Create a machine"],
  ["g, i, c", "Machines, images, system"],
  ["Esc", "Leave the filter, clear the selection"],
  ["Ctrl+Shift+F", "Search the terminal"],
  ["Ctrl+Shift+C", "Copy what is selected in the terminal"],
  ["Ctrl+Shift+↑", "Leave the terminal"],
  ["?", "Show these keys"],
];

export function Help() {
  if (!isHelpOpen.value) return null;
  const close = () => {
    isHelpOpen.value = false;
  };
  return (
    <Dialog title="Keys" onClose={close}>
      <dl class="keys">
        {KEYS.map(([keys, meaning]) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
      <div class="dialog-actions">
        <Button onClick={close}>Close</Button>
      </div>
    </Dialog>
  );
}
