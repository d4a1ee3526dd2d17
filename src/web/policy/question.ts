/** What a machine waits for, in words. */
import type { Decision, PolicyAnswer, PolicyQuestion } from "#api/network.ts";
import { visibleName } from "#web/parts/visible.ts";

type Destination = Pick<PolicyQuestion, "name" | "address"> & { port?: number | undefined };

/** "example.com:443", "[2001:db8::1]:443". */
export function destinationOf({ name, address = "", port }: Destination): string {
  const host = visibleName(name ?? (address.includes(":") ? `[${address}]` : address));
  return port === undefined ? host : `${host}:${port}`;
}

/** Those that are left until the answer is no. */
export function secondsLeft(
  { expiresAt }: Pick<PolicyQuestion, "expiresAt">,
  now_ms: number,
): number {
  return Math.max(0, Math.ceil((Date.parse(expiresAt) - now_ms) / 1000));
}

/** The first that ends is the first to be answered. */
export function inOrder(questions: readonly PolicyQuestion[]): PolicyQuestion[] {
  return questions.toSorted((a, b) => Date.parse(a.expiresAt) - Date.parse(b.expiresAt));
}

export const ANSWERS: readonly (Omit<PolicyAnswer, "id"> & { label: string })[] = [
  { label: "Allow once", allow: true, scope: "once" },
  { label: "For this machine", allow: true, scope: "machine" },
  { label: "Always", allow: true, scope: "always" },
  { label: "Deny", allow: false, scope: "once" },
];

/** Behind a menu, since most denials are for now. */
export const LASTING_DENIALS: typeof ANSWERS = [
  { label: "Deny for this machine", allow: false, scope: "machine" },
  { label: "Deny always", allow: false, scope: "always" },
];

/** The open question that a decision "asked" is about. */
export function questionOf(
  decision: Decision,
  questions: readonly PolicyQuestion[],
): PolicyQuestion | undefined {
  if (decision.verdict !== "asked") return undefined;
  const wanted = destinationOf(decision);
  return questions.find(
    (each) => each.machineId === decision.machineId && destinationOf(each) === wanted,
  );
}
