/** What the network needs of a proxy for the machines' TCP connections. */
import type { Address } from "#net/address.ts";
import type { ProxyEnd } from "./table.ts";

export interface GuestProxy {
  /** Listens on these addresses of the bridge from now on, on one port. Safe to repeat. */
  serve(addresses: readonly Address[]): Promise<ProxyEnd>;
}
