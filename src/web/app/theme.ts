/** Light or dark: as the system has it, unless the user has chosen. */
import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";
const STORED = "banger.theme";
const THEMES: readonly Theme[] = ["system", "light", "dark"];

export const theme = signal<Theme>(
  THEMES.find((each) => each === localStorage.getItem(STORED)) ?? "system",
);

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
export const isDark = signal(false);

function apply(): void {
  isDark.value = theme.value === "system" ? prefersDark.matches : theme.value === "dark";
  document.documentElement.dataset["theme"] = isDark.value ? "dark" : "light";
}

effect(() => {
  localStorage.setItem(STORED, theme.value);
  apply();
});
prefersDark.addEventListener("change", apply);

export function nextTheme(): void {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? "system";
}
