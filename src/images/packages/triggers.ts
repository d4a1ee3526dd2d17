/**
 * Triggers of packages that are unpacked: those that they wait for, and those of installed packages that their files or
 * they themselves activate, which dpkg processes when it configures them.
 * Source: deb-triggers(5), and the files of dpkg's triggers directory.
 */
import { type DpkgState, unsupported } from "./dpkg-state.ts";

const NAME = /^[\w.+-]+$/;

export interface TriggeringPackage {
  name: string;
  /** Its triggers file. */
  triggers: string;
  paths: readonly string[];
}

export interface TriggerFile {
  name: string;
  text: string;
}

interface Directive {
  kind: string;
  trigger: string;
  isAwaited: boolean;
}

function directivesOf({ triggers }: TriggeringPackage): Directive[] {
  return triggers.split("\n").flatMap((line) => {
    const plain = line.replace(/#.*/, "").trim();
    if (plain === "") return [];
    const match = /^(interest|activate)(-await|-noawait)?\s+(\S+)$/.exec(plain);
    if (!match) throw unsupported(`trigger "${plain}"`);
    const [, kind = "", suffix, trigger = ""] = match;
    if (!trigger.startsWith("/") && !NAME.test(trigger)) throw unsupported(`trigger "${trigger}"`);
    return [{ kind, trigger, isAwaited: suffix !== "-noawait" }];
  });
}

/** The changed files of triggers that packages wait for. */
export function interestsOf(
  packages: readonly TriggeringPackage[],
  state: DpkgState,
): TriggerFile[] {
  let files = state.fileTriggers;
  const named = new Map<string, string>();
  for (const one of packages) {
    for (const { kind, trigger, isAwaited } of directivesOf(one)) {
      if (kind !== "interest") continue;
      const who = `${one.name}${isAwaited ? "" : "/noawait"}`;
      if (trigger.startsWith("/")) files += `${trigger} ${who}\n`;
      else named.set(trigger, `${named.get(trigger) ?? state.trigger(trigger)}${who}\n`);
    }
  }
  const changed = files === state.fileTriggers ? [] : [{ name: "File", text: files }];
  return [...changed, ...[...named].map(([name, text]) => ({ name, text }))];
}

/** Unincorp: a line for each activated trigger, with the packages that wait for it to be processed, or "-". */
export function activationsOf(
  packages: readonly TriggeringPackage[],
  state: DpkgState,
): TriggerFile[] {
  const watched = state.fileTriggers.split("\n").flatMap((line) => line.split(" ")[0] || []);
  const awaiting = new Map<string, Set<string>>();
  for (const one of packages) {
    const activate = (trigger: string, isAwaited: boolean): void => {
      const names = awaiting.get(trigger) ?? new Set();
      awaiting.set(trigger, names.add(isAwaited ? one.name : "-"));
    };
    for (const trigger of watched) {
      const isBelow = (path: string): boolean => path === trigger || path.startsWith(`${trigger}/`);
      if (one.paths.some(isBelow)) activate(trigger, true);
    }
    for (const { kind, trigger, isAwaited } of directivesOf(one)) {
      if (kind === "activate") activate(trigger, isAwaited);
    }
  }
  const lines = [...awaiting].map(([trigger, names]) => `${trigger} ${[...names].join(" ")}\n`);
  return lines.length > 0 ? [{ name: "Unincorp", text: lines.join("") }] : [];
}
