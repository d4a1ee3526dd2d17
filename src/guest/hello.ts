/** What the guest agent says of itself when a host connects. */
import { BangerError } from "#base/error.ts";
import { Fields } from "./fields.ts";
import { NONCE_BYTES, Tag } from "./protocol.ts";

/** A guest may offer more; so many are used at the most. */
const MAX_STREAMS = 256;
const MAX_FEATURES = 64;
const MAX_NAME_BYTES = 64;

export interface AgentHello {
  protocol: number;
  /** Of the agent's program. */
  version: string;
  /** Changes with each boot of the machine. */
  bootId: string;
  mode: "direct" | "systemd";
  /** Such as "exec", "connect", "health". */
  features: readonly string[];
  /** It was restored from a template, and has no identity yet. */
  isTemplate: boolean;
  /** How many streams the guest serves at once. */
  maxStreams: number;
}

/** `payload` is that of a hello frame: the nonce, then fields. */
export function decodeHello(payload: Uint8Array): AgentHello {
  const fields = Fields.parse(payload.subarray(NONCE_BYTES));
  const protocol = fields.number(Tag.protocol);
  if (protocol === undefined) {
    throw new BangerError("guest", "protocol error from the guest agent: no protocol version");
  }
  return {
    protocol,
    version: fields.text(Tag.version, MAX_NAME_BYTES) ?? "unknown",
    bootId: fields.text(Tag.bootId, MAX_NAME_BYTES) ?? "",
    mode: fields.text(Tag.mode, MAX_NAME_BYTES) === "systemd" ? "systemd" : "direct",
    features: fields.texts(Tag.feature, MAX_NAME_BYTES).slice(0, MAX_FEATURES),
    isTemplate: fields.number(Tag.isTemplate) === 1,
    maxStreams: Math.min(fields.number(Tag.maxStreams) ?? 1, MAX_STREAMS),
  };
}
