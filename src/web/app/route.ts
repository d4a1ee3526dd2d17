/** Which page is shown: the address below /ui, as signals. */
import { computed, signal } from "@preact/signals";
import { partsOf } from "./parts-of.ts";

const BASE = "/ui/";

const path = signal(location.pathname);

/** The parts of the path: [] or ["machines"], ["vm", NAME, TAB], … */
export const route = computed(() => partsOf(path.value.slice(BASE.length)));

export function go(href: string): void {
  history.pushState(null, "", href);
  path.value = location.pathname;
  scrollTo(0, 0);
}

/** In place of this page: the way back does not lead to it. */
export function goInstead(href: string): void {
  history.replaceState(null, "", href);
  path.value = location.pathname;
}

export function vmHref(name: string, tab?: string): string {
  return `${BASE}vm/${encodeURIComponent(name)}${tab ? `/${tab}` : ""}`;
}

export function pageHref(page: "" | "new" | "images" | "system"): string {
  return `${BASE}${page}`;
}

/** Links of the UI change the page without loading it again. */
export function followLinks(): void {
  addEventListener("popstate", () => {
    path.value = location.pathname;
  });
  document.addEventListener("click", (event) => {
    const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey;
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!isPlain || event.defaultPrevented || !link || link.target || link.hasAttribute("download"))
      return;
    const { origin, pathname, search, hash } = new URL(link.href);
    if (origin !== location.origin || !pathname.startsWith(BASE) || hash !== "") return;
    event.preventDefault();
    go(`${pathname}${search}`);
  });
}
