/** The filter of the list. */
import type { Vm } from "#api/vm.ts";

/** Every word somewhere; "state:running" and "label:team=web" only there. */
export function matches(vm: Vm, words: readonly string[]): boolean {
  const { name, image, state, network, labels = {} } = vm;
  const labelTexts = Object.entries(labels).map((pair) => pair.join("=").toLowerCase());
  const texts = [name, image, state, network.address ?? "", ...labelTexts];
  return words.every((word) => {
    if (word.startsWith("state:")) return state.startsWith(word.slice("state:".length));
    if (word.startsWith("label:")) {
      return labelTexts.some((text) => text.startsWith(word.slice("label:".length)));
    }
    return texts.some((text) => text.toLowerCase().includes(word));
  });
}
