import type { PublishedPort } from "#api/network.ts";

/** A published port as a link, if a browser may be able to open it. */
export function PortLink({ port }: { port: PublishedPort }) {
  const { hostAddress, hostPort, guestPort, protocol } = port;
  const text = `${hostPort}→${guestPort}${protocol === "udp" ? "/udp" : ""}`;
  if (protocol === "udp") return <span class="mono">{text}</span>;
  const isAll = hostAddress === "0.0.0.0" || hostAddress === "::";
  const bare = isAll ? location.hostname : hostAddress;
  const host = bare.includes(":") && !bare.startsWith("[") ? `[${bare}]` : bare;
  const scheme = guestPort === 443 || guestPort === 8443 ? "https" : "http";
  return (
    <a
      class="mono"
      href={`${scheme}://${host}:${hostPort}/`}
      target="_blank"
      rel="noopener noreferrer"
      aria-label={`${text}: port ${guestPort}, published at ${hostAddress}:${hostPort}`}
    >
      {text}
    </a>
  );
}
