/**
 * Ports of machines by name: a connection whose first request has the Host "PORT-MACHINE.localhost" goes to that port
 * in that machine, HTTP and WebSockets alike. It requires a token, or the cookie that a browser gets for one, unless
 * the machine is labelled as having public ports.
 */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type Caller, TOKEN_PREFIX } from "#api/serve/caller.ts";
import type { Vm } from "#api/vm.ts";
import { BangerError, toBangerError } from "#base/error.ts";
import { TRAFFIC_TOKEN_HEADER } from "#e2b/tokens.ts";
import { joinStreams } from "#net/ports/join.ts";
import type { VmService } from "#vm/service.ts";
import { authorizeExec, type Domains } from "./authorize.ts";
import { type Arrived, refuse } from "./front.ts";
import { type Authority, type GateOptions, isOurs, parseHost } from "./gate.ts";
import { formatHead, type Head, headersOf, without } from "./head.ts";
import { RateLimit, STRANGER_RATE } from "./limits.ts";
import { LOGIN_PATH, loginPage, takeLogin } from "./port-login.ts";
import { closingResponse } from "./port-response.ts";
import { Tickets, withoutTickets } from "./tickets.ts";
import type { Tokens } from "./tokens.ts";

/** Ports of a machine with this label need no token. */
export const PUBLIC_LABEL = "banger.ports";
export const TOKEN_HEADER = "x-banger-token";
const DIAL_TIMEOUT_MS = 60_000;
/** As E2B's clients send it. */
const TRAFFIC_HEADER = TRAFFIC_TOKEN_HEADER.toLowerCase();
const HOP_FIELDS = ["connection", "keep-alive", "proxy-connection", TOKEN_HEADER, TRAFFIC_HEADER];

interface Services extends Domains {
  vms: Pick<VmService, "list" | "show" | "guests">;
  tokens: Tokens;
}

/** The id of the token that a traffic token for a machine was issued for; undefined if it is invalid. */
export type TrafficCaller = (vm: string, token: string) => string | undefined;

export interface PortTarget {
  machine: string;
  port: number;
}

/** The port and machine of a host name; undefined for other names. */
export function portTargetOf(hostname: string, gate: GateOptions): PortTarget | undefined {
  const dot = hostname.indexOf(".");
  const [, digits, machine] = /^(\d{1,5})-([a-z0-9-]{1,63})$/.exec(hostname.slice(0, dot)) ?? [];
  const base = hostname.slice(dot + 1);
  const isName = base === "localhost" || gate.hosts.includes(base);
  const port = Number(digits);
  if (dot < 0 || !isName || machine === undefined || port < 1 || port > 65_535) return undefined;
  return { machine, port };
}

export class PortDoor {
  readonly #services: Services;
  readonly #trafficCaller: TrafficCaller;
  readonly #tickets = new Tickets();
  readonly #strangers = new RateLimit(STRANGER_RATE);

  constructor(services: Services, trafficCaller: TrafficCaller) {
    this.#services = services;
    this.#trafficCaller = trafficCaller;
  }

  /** Handles the connection if it is for a port; returns whether it is. */
  take(arrived: Arrived, gate: GateOptions): boolean {
    const headers = headersOf(arrived.head);
    const authority = parseHost(headers.get("Host"));
    if (!authority || isOurs(authority.hostname, gate)) return false;
    const target = portTargetOf(authority.hostname, gate);
    if (!target) return false;
    void this.#carry(arrived, { headers, authority, target, gate }).catch((error) => {
      const { code, message } = toBangerError(error);
      refuse(arrived.client, STATUSES[code] ?? "502 Bad Gateway", message);
    });
    return true;
  }

  async #carry(arrived: Arrived, request: PortRequest): Promise<void> {
    const { head, client, rest } = arrived;
    const { gate, authority, target } = request;
    const where = { hostname: authority.hostname, isSecure: gate.scheme === "https" };
    const [method = "", path = ""] = head.first.split(" ");
    if (path === LOGIN_PATH && method === "POST") {
      const login = { ...where, authority, headers: request.headers, rest };
      return await takeLogin(client, login, (secret) => {
        const caller = this.#services.tokens.verify(secret);
        return caller?.token && this.#tickets.issue(caller.token, where);
      });
    }
    const permitted = this.#permitted(request, where);
    if (!permitted) return loginPage(client, request.headers);
    const { vm, caller } = permitted;
    if (caller) {
      const held = this.#services.tokens.hold(caller, () => client.destroy());
      client.once("close", () => held[Symbol.dispose]());
    }
    const gone = new AbortController();
    client.once("close", () => gone.abort());
    const timer = setTimeout(() => gone.abort(), DIAL_TIMEOUT_MS);
    try {
      const guest = await this.#services.vms.guests.connect(
        vm.id,
        { kind: "tcp", host: "localhost", port: target.port },
        gone.signal,
      );
      guest.on("error", () => {});
      connectThrough(client, guest, { head: forGuest(head, gate.scheme), rest });
    } finally {
      clearTimeout(timer);
    }
  }

  /** The machine if the caller may connect to it; undefined for a request without a token. */
  #permitted(request: PortRequest, where: Where): Permitted | undefined {
    const { headers, target } = request;
    const { tokens, vms } = this.#services;
    const known = find(() => vms.show(target.machine));
    const secret = headers.get(TOKEN_HEADER) ?? bearerOf(headers);
    const traffic = secret ? null : headers.get(TRAFFIC_HEADER);
    const isNamed = Boolean(secret) || traffic !== null;
    const ticket = isNamed ? undefined : this.#tickets.find(headers.get("Cookie"), where);
    const id = traffic !== null ? known && this.#trafficCaller(known.id, traffic) : ticket;
    const caller = secret ? tokens.verify(secret) : id === undefined ? undefined : tokens.byId(id);
    if (isNamed && !caller) this.#countStranger();
    if (isNamed && !caller) throw new BangerError("unauthorized", "unknown token");
    // Any page can make a browser send its cookies.
    if (ticket) assertOwnPage(request);
    if (known?.labels?.[PUBLIC_LABEL] === "public") return { vm: known, caller: undefined };
    if (!caller) {
      this.#countStranger();
      return undefined;
    }
    authorizeExec(this.#services, caller, {
      kind: "connect",
      vm: target.machine,
      target: { host: "localhost", port: target.port },
    });
    return { vm: vms.show(target.machine), caller };
  }

  #countStranger(): void {
    if (this.#strangers.take()) return;
    throw new BangerError("unavailable", "too many requests without a token");
  }
}

interface Permitted {
  vm: Vm;
  /** Undefined if no token is required. */
  caller: Caller | undefined;
}

interface Where {
  hostname: string;
  isSecure: boolean;
}

interface PortRequest {
  headers: Headers;
  authority: Authority;
  target: PortTarget;
  gate: GateOptions;
}

const STATUSES: Partial<Record<string, string>> = {
  unavailable: "503 Service Unavailable",
  unauthorized: "401 Unauthorized",
  permission_denied: "403 Forbidden",
  not_found: "404 Not Found",
  invalid_argument: "400 Bad Request",
  invalid_state: "503 Service Unavailable",
  timeout: "504 Gateway Timeout",
};

/** Refuses cross-origin requests other than following a link. */
function assertOwnPage({ headers, authority, gate }: PortRequest): void {
  const origin = headers.get("Origin");
  const site = headers.get("Sec-Fetch-Site") ?? "none";
  const isLink =
    headers.get("Sec-Fetch-Mode") === "navigate" &&
    headers.get("Sec-Fetch-Dest") === "document" &&
    origin === null;
  const isOwn = site === "same-origin" || site === "none";
  if ((isOwn || isLink) && (origin === null || origin === `${gate.scheme}://${authority.host}`)) {
    return;
  }
  throw new BangerError("permission_denied", "cross-origin request refused");
}

function bearerOf(headers: Headers): string | undefined {
  const [, bearer] = /^Bearer +(\S+)$/i.exec(headers.get("Authorization") ?? "") ?? [];
  // Other bearer tokens belong to the program in the machine.
  return bearer?.startsWith(TOKEN_PREFIX) ? bearer : undefined;
}

/** Removes banger's headers: the machine must not learn a token. */
export function forGuest(head: Head, scheme: string): Head {
  const upgrade = head.fields.find(([name]) => name.toLowerCase() === "upgrade");
  const kept = without(head, [...HOP_FIELDS, "x-forwarded-proto", "x-forwarded-for"]);
  const fields = kept.fields.flatMap(([name, value]): [string, string][] => {
    if (name.toLowerCase() === "authorization") {
      return value.includes(TOKEN_PREFIX) ? [] : [[name, value]];
    }
    if (name.toLowerCase() !== "cookie") return [[name, value]];
    const left = withoutTickets(value);
    return left === undefined ? [] : [[name, left]];
  });
  return {
    first: head.first,
    fields: [
      ...fields,
      ["X-Forwarded-Proto", scheme],
      ["Connection", upgrade ? "Upgrade" : "close"],
    ],
  };
}

function connectThrough(
  client: Socket,
  guest: Duplex,
  { head, rest }: { head: Head; rest: Buffer },
): void {
  guest.write(formatHead(head));
  if (rest.length > 0) guest.write(rest);
  // The response closes the connection, whatever the program in the machine says: the next request may be for
  // another machine.
  joinStreams(client, closingResponse(guest));
}

function find<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
