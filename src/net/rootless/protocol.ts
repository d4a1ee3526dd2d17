/** The lines of JSON between the daemon and its helper in the network namespace: the helper's stdin and stdout. */
import { z } from "zod";
import { decision } from "#api/network.ts";
import { errorCodes } from "#base/error.ts";
import type { AttachRequest } from "#net/attachment.ts";
import type { Bandwidth } from "#net/bandwidth/bandwidth.ts";
import type { NetworkMode } from "#net/mode.ts";

/** The first line. */
export const helperConfig = z.object({
  bridge: z.string(),
  subnet: z.string(),
  subnet6: z.string().optional(),
  /** Store with the machines' names; absent: there is no DNS server. */
  database: z.string().optional(),
  /** Unix socket of the daemon, for connections to hosts of secrets; absent: there are none. */
  interceptor: z.string().optional(),
  /** The host's addresses, which differ from the namespace's. */
  hostAddresses: z.array(z.string()),
});
export type HelperConfig = z.infer<typeof helperConfig>;

/** With rules as the user wrote them. */
export interface PlainPolicy {
  allow: string[];
  isAsking?: boolean;
  secretHosts?: readonly string[];
}

export type HelperAttach = Omit<AttachRequest, "policy" | "inUse"> & {
  policy?: PlainPolicy | undefined;
};

/** A destination that the user decides about. */
const userQuestion = z.object({
  machineId: z.string(),
  name: z.string().optional(),
  address: z.string().optional(),
  port: z.int(),
});
export type UserQuestion = z.infer<typeof userQuestion>;

export type HelperCall =
  | { op: "attach"; request: HelperAttach }
  | { op: "detach"; machineId: string; mode: NetworkMode }
  | { op: "setPolicy"; machineId: string; policy?: PlainPolicy | undefined }
  | { op: "setNetworks"; machineId: string; networks: string[] }
  | { op: "setBandwidth"; machineId: string; bandwidth: Bandwidth }
  | { op: "bandwidthCounters"; machineId: string }
  | { op: "policyLog"; machineId: string }
  /** Ids of the machines that are connected. */
  | { op: "machines" }
  /** Policies by machine. */
  | { op: "resume"; policies: Record<string, PlainPolicy> };

export type ToHelper =
  | { id: number; call: HelperCall }
  /** Cancels a call: its changes are undone. */
  | { cancel: number }
  /** `answer`: a DNS message in base64; absent: no resolver has answered. */
  | { asked: number; answer?: string | undefined; hostAddresses: string[] }
  | { answered: number; isAllowed: boolean };

export const fromHelper = z.union([
  z.object({ id: z.int(), ok: z.unknown(), isEmpty: z.boolean() }),
  z.object({
    id: z.int(),
    error: z.object({
      code: z.enum(Object.keys(errorCodes) as [keyof typeof errorCodes]),
      message: z.string(),
      hint: z.string().optional(),
    }),
  }),
  /** A DNS query in base64, for the host's resolvers: they may be on the host's loopback. */
  z.object({ ask: z.int(), query: z.string() }),
  userQuestion.extend({ question: z.int() }),
  /** The connection that a question was about has ended. */
  z.object({ withdrawn: z.int() }),
  z.object({ decision }),
]);
export type FromHelper = z.infer<typeof fromHelper>;
