/** Sessions: named commands in a machine that go on when whoever started them has left. */
import { z } from "zod";
import { EXEC_TIMEOUT_MAX_MS, execExit, execRequest } from "./exec.ts";
import { queryInteger } from "./fields.ts";
import { vmRef } from "./vm.ts";

export const SESSION_NAME_MAX_LENGTH = 64;
export const SESSION_RING_MIN_BYTES = 4096;
export const SESSION_RING_MAX_BYTES = 16 * 1024 * 1024;
/** Of one `send`; longer input goes over the WebSocket, or piece by piece. */
export const SESSION_SEND_MAX_BYTES = 1024 * 1024;

export const sessionName = z
  .string()
  .max(SESSION_NAME_MAX_LENGTH)
  .regex(/^[A-Za-z0-9_][A-Za-z0-9._-]*$/, {
    error: "session names can contain letters, digits, dots, dashes and underscores",
  });

export const sessionState = z.enum(["starting", "running", "ended", "lost"]);

export const session = z.object({
  name: z.string(),
  /** The machine's. */
  vm: z.string(),
  argv: z.array(z.string()),
  user: z.string().optional(),
  terminal: z.boolean(),
  /** `lost`: its machine ended, or was started anew, and it with the machine. */
  state: sessionState,
  pid: z.int().optional(),
  startedAt: z.iso.datetime(),
  endedAt: z.iso.datetime().optional(),
  exit: execExit.optional(),
  /** Output counts from the start; that before `outputStart_bytes` is not kept any more. */
  outputStart_bytes: z.number(),
  outputEnd_bytes: z.number(),
  /** Output that nobody took before the guest's ring was full: the log lacks it. */
  lost_bytes: z.number(),
});
export type Session = z.infer<typeof session>;

export const sessionRef = z.object({ vm: vmRef, session: sessionName });

export const sessionStart = execRequest
  .pick({ argv: true, env: true, cwd: true, user: true, terminal: true })
  .extend({
    vm: vmRef,
    /** Made up when it is not given. */
    session: sessionName.optional(),
    /** Output that the guest keeps while the daemon is away; default 1 MiB. */
    ring_bytes: z.int().min(SESSION_RING_MIN_BYTES).max(SESSION_RING_MAX_BYTES).optional(),
  });
export type SessionStart = z.infer<typeof sessionStart>;

export const sessionSend = sessionRef.extend({
  /** Base64. */
  data: z.base64().max(Math.ceil(SESSION_SEND_MAX_BYTES / 3) * 4),
  /** Nothing more will come; to a terminal it is ^D. */
  eof: z.boolean().optional(),
});

export const sessionWait = sessionRef.extend({
  timeout_ms: queryInteger(1, EXEC_TIMEOUT_MAX_MS).optional(),
});
