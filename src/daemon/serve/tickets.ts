/** Cookies that replace a token in browsers, for ports of machines only: no API accepts them. */
import { randomBytes } from "node:crypto";

const TICKETS_MAX = 1000;
const LIFETIME_S = 12 * 3600;

interface Ticket {
  /** Id of the token. */
  token: string;
  /** The only host it is valid for. */
  hostname: string;
  expires_ms: number;
}

export class Tickets {
  readonly #tickets = new Map<string, Ticket>();

  /** Value of the Set-Cookie field. */
  issue(token: string, { hostname, isSecure }: { hostname: string; isSecure: boolean }): string {
    const value = randomBytes(32).toString("hex");
    const [oldest] = this.#tickets.keys();
    if (this.#tickets.size >= TICKETS_MAX && oldest !== undefined) this.#tickets.delete(oldest);
    const expires_ms = Date.now() + LIFETIME_S * 1000;
    this.#tickets.set(value, { token, hostname, expires_ms });
    const flags = `Path=/; HttpOnly; SameSite=Lax; Max-Age=${LIFETIME_S}${isSecure ? "; Secure" : ""}`;
    return `${cookieName(isSecure)}=${value}; ${flags}`;
  }

  /** Id of the token that a ticket for this host stands for. */
  find(cookie: string | null, where: { hostname: string; isSecure: boolean }): string | undefined {
    const name = cookieName(where.isSecure);
    for (const [key, value = ""] of cookiesIn(cookie ?? "")) {
      const ticket = key === name ? this.#tickets.get(value) : undefined;
      if (ticket?.hostname === where.hostname && ticket.expires_ms > Date.now()) {
        return ticket.token;
      }
    }
    return undefined;
  }
}

/** With the `__Host-` prefix, a machine's page cannot set it for other hosts. */
export function cookieName(isSecure: boolean): string {
  return isSecure ? "__Host-banger-port" : "banger-port";
}

/** The header without our cookies; undefined when nothing is left. */
export function withoutTickets(cookie: string): string | undefined {
  const ours = [cookieName(true), cookieName(false)];
  const left = cookiesIn(cookie).filter(([name]) => !ours.includes(name));
  return left.length > 0 ? left.map((pair) => pair.join("=")).join("; ") : undefined;
}

function cookiesIn(text: string): [name: string, value: string | undefined][] {
  return text.split(";").map((pair) => {
    const [name = "", ...value] = pair.trim().split("=");
    return [name, value.length > 0 ? value.join("=") : undefined];
  });
}
