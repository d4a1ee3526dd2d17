/** How what belongs to machines' networks looks as text. */
import type { PublishedPort } from "#api/network.ts";
import { table } from "./table.ts";

/** "127.0.0.1:8080->80/tcp". */
export function portText({ hostAddress, hostPort, guestPort, protocol }: PublishedPort): string {
  const host = hostAddress.includes(":") ? `[${hostAddress}]` : hostAddress;
  return `${host}:${hostPort === 0 ? "*" : hostPort}->${guestPort}/${protocol}`;
}

export function portTable(ports: readonly PublishedPort[]): string {
  return table(
    ["ADDRESS", "PORT", "MACHINE'S PORT", "PROTOCOL"],
    ports.map(({ hostAddress, hostPort, guestPort, protocol }) => [
      hostAddress,
      hostPort === 0 ? "any free one" : String(hostPort),
      String(guestPort),
      protocol,
    ]),
  );
}
