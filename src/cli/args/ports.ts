/** Parses published ports. */
import type { PortEnd, PortRequest } from "#api/network.ts";
import { BangerError } from "#base/error.ts";

const PORT_MAX = 65_535;
/** An address, in brackets if it has colons; up to two ports; a protocol. */
const FORM = /^(?:(\[[0-9a-fA-F:.%]+\]|\d+\.\d+\.\d+\.\d+):)?(?:(\d*):)?(\d+)(?:\/(tcp|udp))?$/;

/** "[ADDRESS:][HOST:]GUEST[/tcp|udp]"; without the host's port any that is free. */
export function parsePort(text: string): PortRequest {
  const match = FORM.exec(text.trim());
  const guestPort = numberOf(match?.[3], 1);
  const hostPort = match?.[2] ? numberOf(match[2], 0) : 0;
  // An address takes a host's port or its place left empty: "127.0.0.1:80" could mean either.
  const isVague = match?.[1] !== undefined && match[2] === undefined;
  if (!match || guestPort === undefined || hostPort === undefined || isVague) {
    throw new BangerError("invalid_argument", `invalid port "${text}"`, {
      hint: 'Use "8080:80", "0.0.0.0:8080:80", "[::1]:8080:80", "5353:53/udp", or "80" for any free port',
    });
  }
  return { ...addressIn(match[1]), hostPort, guestPort, protocol: protocolIn(match[4]) };
}

/** The host's end: "[ADDRESS:]HOST[/tcp|udp]". What `parsePort` takes is taken as well. */
export function parsePortEnd(text: string): PortEnd {
  const match = FORM.exec(text.trim());
  const hostPort = numberOf(match?.[2] ?? match?.[3], 0);
  if (!match || hostPort === undefined) {
    throw new BangerError("invalid_argument", `invalid host port "${text}"`, {
      hint: 'Use the host port: "8080", "0.0.0.0:8080", "5353/udp"',
    });
  }
  return { ...addressIn(match[1]), hostPort, protocol: protocolIn(match[4]) };
}

function addressIn(text: string | undefined): { hostAddress?: string } {
  return text === undefined ? {} : { hostAddress: text.replace(/^\[|\]$/g, "") };
}

function protocolIn(text: string | undefined): "tcp" | "udp" {
  return text === "udp" ? "udp" : "tcp";
}

function numberOf(text: string | undefined, min: number): number | undefined {
  const number = Number(text ?? Number.NaN);
  return Number.isInteger(number) && number >= min && number <= PORT_MAX ? number : undefined;
}
