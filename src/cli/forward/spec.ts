/** Parses the argument of `vm forward`: two endpoints, separated by a colon. */
import { BangerError } from "#base/error.ts";

export type End =
  | { kind: "tcp"; host: string | undefined; port: number }
  | { kind: "unix"; path: string };

export interface ForwardSpec {
  /** On this computer. */
  local: End;
  /** In the machine. */
  remote: End;
}

const PORT_MAX = 65_535;

/** "8080:80", "[::1]:8080:127.0.0.1:80", "/tmp/x.sock:/run/x.sock", or "80" for both. */
export function parseForward(text: string): ForwardSpec {
  const only = parseEnd(text);
  if (only?.kind === "tcp" && only.host === undefined) return { local: only, remote: only };
  for (let at = text.indexOf(":"); at !== -1; at = text.indexOf(":", at + 1)) {
    const [local, remote] = [parseEnd(text.slice(0, at)), parseEnd(text.slice(at + 1))];
    if (local && remote) return { local, remote };
  }
  throw new BangerError("invalid_argument", `invalid forward "${text}": expected LOCAL:REMOTE`, {
    hint: "Each side is a port, ADDRESS:PORT or the path of a socket, such as 8080:80",
  });
}

/** "127.0.0.1:80", or the path. */
export function endText(end: End, host: string): string {
  if (end.kind === "unix") return end.path;
  const address = end.host ?? host;
  return `${address.includes(":") ? `[${address}]` : address}:${end.port}`;
}

function parseEnd(text: string): End | undefined {
  if (/^\.{0,2}\/[^:]+$/.test(text)) return { kind: "unix", path: text };
  const match = /^(?:(?:\[([\da-fA-F:.]+)\]|([^:[\]/]*[^:[\]/\d][^:[\]/]*)):)?(\d{1,5})$/.exec(
    text,
  );
  const port = Number(match?.[3]);
  if (!match || port < 1 || port > PORT_MAX) return undefined;
  return { kind: "tcp", host: match[1] ?? match[2], port };
}
