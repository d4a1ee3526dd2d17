/** Prints sessions. */
import type { Session } from "#api/session.ts";
import { formatSize } from "#base/size.ts";
import { ago } from "./ago.ts";
import { pairs, table } from "./table.ts";

/** "running", "exited 0", "SIGKILL", "lost". */
export function endText({ state, exit }: Pick<Session, "state" | "exit">): string {
  if (!exit) return state;
  return "code" in exit ? `exited ${exit.code}` : exit.signal;
}

export function sessionTable(sessions: readonly Session[]): string {
  return table(
    ["NAME", "MACHINE", "STATE", "OUTPUT", "STARTED", "COMMAND"],
    sessions.map((session) => [
      session.name,
      session.vm,
      endText(session),
      formatSize(session.outputEnd_bytes),
      ago(session.startedAt),
      session.argv.join(" "),
    ]),
  );
}

export function sessionText(session: Session): string {
  const { outputStart_bytes, outputEnd_bytes, lost_bytes } = session;
  return pairs([
    ["Name", session.name],
    ["Machine", session.vm],
    ["State", endText(session)],
    ["Command", session.argv.map((word) => JSON.stringify(word)).join(" ")],
    ["User", session.user],
    ["Terminal", session.terminal ? "yes" : "no"],
    ["Process", session.pid === undefined ? undefined : String(session.pid)],
    ["Started", `${session.startedAt} (${ago(session.startedAt)})`],
    ["Ended", session.endedAt && `${session.endedAt} (${ago(session.endedAt)})`],
    ["Output", formatSize(outputEnd_bytes)],
    ["Not kept", outputStart_bytes > 0 ? formatSize(outputStart_bytes) : undefined],
    ["Lost", lost_bytes > 0 ? formatSize(lost_bytes) : undefined],
  ]);
}
