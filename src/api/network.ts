/** What of a machine's network can be chosen, as every client sees it. */
import { z } from "zod";

export const VM_PORTS_MAX = 64;
const PORT_MAX = 65_535;

const protocol = z.enum(["tcp", "udp"]);

/** Which port of the host leads to which port of a machine. */
export const portRequest = z.object({
  /** Default 127.0.0.1; "0.0.0.0" and "::" are all of the host's. */
  hostAddress: z.string().max(64).optional(),
  /** 0 takes one that is free, once and for all. */
  hostPort: z.int().min(0).max(PORT_MAX),
  guestPort: z.int().min(1).max(PORT_MAX),
  protocol,
});
export type PortRequest = z.infer<typeof portRequest>;

export const publishedPort = portRequest.extend({ hostAddress: z.string() });
export type PublishedPort = z.infer<typeof publishedPort>;

/** The host's end of a published port. */
export const portEnd = portRequest.omit({ guestPort: true });
export type PortEnd = z.infer<typeof portEnd>;
