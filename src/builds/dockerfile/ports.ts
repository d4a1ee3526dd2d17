/** Parses EXPOSE: "80", "53/udp", "8000-8010", and the syntax of `docker run -p`, whose container port counts. */
import { isIP } from "node:net";
import { BangerError } from "#base/error.ts";

const PORT_MAX = 65_535;

/** Each as "80/tcp". `invalid_argument`. */
export function portsOf(word: string): string[] {
  const parts = word.split(":");
  const [own = "", host] = [parts.pop(), parts.pop()];
  const address = parts.join(":").replace(/^\[(.*)\]$/, "$1");
  const [, range = "", protocol = "tcp"] = /^([^/]*)(?:\/(.*))?$/.exec(own) ?? [];
  const kind = (protocol || "tcp").toLowerCase();
  const ports = rangeOf(range);
  const isOther = host !== undefined && host !== "" && !fits(rangeOf(host), ports);
  const isKnown = ["tcp", "udp", "sctp"].includes(kind) && (address === "" || isIP(address) > 0);
  if (!ports || !isKnown || isOther) {
    throw new BangerError("invalid_argument", `invalid port "${word}"`, {
      hint: "Use a port such as 80, 53/udp or 8000-8010",
    });
  }
  const { from, to } = ports;
  return Array.from({ length: to - from + 1 }, (_, index) => `${from + index}/${kind}`);
}

interface Range {
  from: number;
  to: number;
}

function rangeOf(text: string): Range | undefined {
  const [, first = "", last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const range = { from: Number(first), to: Number(last) };
  return first !== "" && range.from <= range.to && range.to <= PORT_MAX ? range : undefined;
}

/** A host range needs one container port, or a range of the same size. */
function fits(host: Range | undefined, own: Range | undefined): boolean {
  if (!host || !own) return false;
  return own.from === own.to || host.to - host.from === own.to - own.from;
}
