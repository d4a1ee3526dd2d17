/** What the guest tells of its boot, kept for those who ask later. */
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { type Fields, MAX_TEXT_BYTES } from "./fields.ts";
import { Tag } from "./protocol.ts";

/** The phases kept for replay; of a guest that sends more, the first and the latest. */
const MAX_PHASES = 32;

/**
 * `mounted`: the disks are there; `network`: the interface is configured; `packages`: first boot waits for
 * those of the host; `installing`: it installs packages; `installed`: it waits for the host to copy them; `starting`: the machine's own init takes over; `ready`: the machine can be
 * used; `failed`: first boot could not make it so, exec works all the same.
 */
export const phases = [
  "mounted",
  "network",
  "packages",
  "installing",
  "installed",
  "starting",
  "ready",
  "failed",
] as const;
export type Phase = (typeof phases)[number];

export interface AgentEvent {
  /** `log`: a line that a running installation prints; its phase is the latest one. */
  kind: "phase" | "log";
  phase: Phase;
  /** Details; for `failed` the end of the log, in several lines. */
  text: string;
  /** Since the guest's boot. */
  uptime_ms: number;
}

/**
 * Events take no credit. What the longest installation prints is a fraction of this; a guest that sends more
 * would keep the host busy, and whoever listens, for as long as it likes.
 */
const BURST_BYTES = 4 * MiB;
const REFILL_BYTES_PER_MS = 256;
/** What an event costs beside its fields. */
const EVENT_BYTES = 128;

export class EventBudget {
  #left_bytes = BURST_BYTES;
  #at_ms = performance.now();

  /** Fails with a `guest` error when too many came. */
  spend(bytes: number, now_ms = performance.now()): void {
    const refill_bytes = (now_ms - this.#at_ms) * REFILL_BYTES_PER_MS;
    this.#at_ms = now_ms;
    this.#left_bytes = Math.min(BURST_BYTES, this.#left_bytes + refill_bytes);
    this.#left_bytes -= bytes + EVENT_BYTES;
    if (this.#left_bytes >= 0) return;
    throw new BangerError("guest", "protocol error from the guest agent: too many events");
  }
}

export type EventListener = (event: AgentEvent) => void;

export class EventLog {
  readonly #phases: AgentEvent[] = [];
  readonly #listeners = new Set<EventListener>();

  /** Takes the fields of an event frame; phases that this host does not know are skipped. */
  add(fields: Fields): void {
    const name = fields.text(Tag.phase, 64);
    const phase = name === undefined ? this.#phases.at(-1)?.phase : phases.find((p) => p === name);
    if (!phase) return;
    const event: AgentEvent = {
      kind: name === undefined ? "log" : "phase",
      phase,
      text: fields.text(Tag.text, MAX_TEXT_BYTES) ?? "",
      uptime_ms: fields.number(Tag.uptime_ms) ?? 0,
    };
    if (event.kind === "phase") {
      if (this.#phases.length === MAX_PHASES) this.#phases.pop();
      this.#phases.push(event);
    }
    for (const listener of [...this.#listeners]) listener(event);
  }

  /** Calls `listener` with the phases so far and then with each new event, until the result is called. */
  listen(listener: EventListener): () => void {
    for (const event of [...this.#phases]) listener(event);
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Nothing more will come. */
  end(): void {
    this.#listeners.clear();
  }
}
