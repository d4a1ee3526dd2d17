/** Keys that work anywhere on a page, but not while something is typed. */

type Keys = Record<string, () => void>;

const stack: Keys[] = [];

/** Until the result is called; what is added later goes first. */
export function addKeys(keys: Keys): () => void {
  stack.push(keys);
  return () => void stack.splice(stack.lastIndexOf(keys), 1);
}

export function listenToKeys(): void {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const { target } = event;
    if (target instanceof Element && target.closest("input,textarea,select,dialog,.xterm")) return;
    const handler = stack.findLast((keys) => Object.hasOwn(keys, event.key))?.[event.key];
    if (!handler) return;
    const isButton = target instanceof Element && target.closest("button,a") !== null;
    if (isButton && (event.key === "Enter" || event.key === " ")) return;
    event.preventDefault();
    handler();
  });
}
