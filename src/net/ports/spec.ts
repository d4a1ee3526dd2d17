/** A published port: a port of the host and the port of a machine that it leads to. */
import { BangerError } from "#base/error.ts";
import { type Address, parseAddress } from "#net/address.ts";

export const DEFAULT_HOST_ADDRESS = "127.0.0.1";
/** For one machine. */
export const MAX_PORTS = 64;
const PORT_MAX = 65_535;

export interface PortRequest {
  /** Default 127.0.0.1; "0.0.0.0" and "::" listen on all addresses. */
  hostAddress?: string | undefined;
  /** 0 takes any that is free. */
  hostPort: number;
  guestPort: number;
  protocol: "tcp" | "udp";
}

export interface PublishedPort {
  hostAddress: Address;
  hostPort: number;
  guestPort: number;
  protocol: "tcp" | "udp";
}

/** `invalid_argument` for what is no address or port, or is there twice; `limit_exceeded` for too many. */
export function checkPorts(requests: readonly PortRequest[]): PublishedPort[] {
  if (requests.length > MAX_PORTS) {
    throw new BangerError(
      "limit_exceeded",
      `too many published ports: ${requests.length}, at most ${MAX_PORTS} per machine`,
    );
  }
  const ports = requests.map(checkPort);
  const seen = new Set<string>();
  for (const port of ports) {
    const key = hostEnd(port);
    if (port.hostPort !== 0 && seen.has(key)) {
      throw new BangerError("invalid_argument", `Cannot publish ${key}: given twice`);
    }
    seen.add(key);
  }
  return ports;
}

/** "127.0.0.1:8080/tcp", "[::1]:53/udp". */
export function hostEnd({ hostAddress, hostPort, protocol }: PublishedPort): string {
  const host = hostAddress.includes(":") ? `[${hostAddress}]` : hostAddress;
  return `${host}:${hostPort}/${protocol}`;
}

export function isSamePort(a: PublishedPort, b: PublishedPort): boolean {
  return hostEnd(a) === hostEnd(b) && a.guestPort === b.guestPort;
}

function checkPort(request: PortRequest): PublishedPort {
  const { hostPort, guestPort, protocol } = request;
  assertPort(hostPort, 0);
  assertPort(guestPort, 1);
  const hostAddress = parseAddress(request.hostAddress ?? DEFAULT_HOST_ADDRESS);
  return { hostAddress, hostPort, guestPort, protocol };
}

function assertPort(port: number, min: number): void {
  if (Number.isInteger(port) && port >= min && port <= PORT_MAX) return;
  throw new BangerError("invalid_argument", `invalid port "${port}"`, {
    hint: `Use a number from ${min} to ${PORT_MAX}`,
  });
}
