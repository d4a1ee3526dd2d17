/** Where the API on TCP listens. */
import { BangerError } from "#base/error.ts";
import { familyOf, isLoopback, tryParseAddress } from "#net/address.ts";

const PORT_MAX = 65_535;

export interface ListenAddress {
  hostname: string;
  port: number;
  /** Whether only this host reaches it. */
  isLocal: boolean;
}

/** "127.0.0.1:7777", "[::1]:7777", "localhost:7777", ":7777" for loopback. `invalid_argument`. */
export function parseListenAddress(text: string): ListenAddress {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  const given = bracketed ?? plain;
  if (given === undefined || port > PORT_MAX) throw invalid(text);
  const hostname = given === "" || given === "localhost" ? "127.0.0.1" : given;
  const address = tryParseAddress(hostname);
  const isFamilyRight = address && (familyOf(address) === 6) === (bracketed !== undefined);
  if (!isFamilyRight) throw invalid(text);
  return { hostname: address, port, isLocal: isLoopback(address) };
}

/** "127.0.0.1:7777", "[::1]:7777". */
export function formatAuthority(hostname: string, port: number): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

function invalid(text: string): BangerError {
  return new BangerError("invalid_argument", `invalid address "${text}"`, {
    hint: "Give an IP address and a port, such as 127.0.0.1:7777 or [::1]:7777",
  });
}
