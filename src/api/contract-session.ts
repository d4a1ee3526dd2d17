/** The part of the contract that is about sessions; their output and input stream over the WebSocket of exec.ts. */
import { z } from "zod";
import { signalName, terminalSize } from "./exec.ts";
import { fails, nothing, REACHES } from "./procedure.ts";
import { session, sessionRef, sessionSend, sessionStart, sessionWait } from "./session.ts";
import { vmRef } from "./vm.ts";

const reach = fails(...REACHES, "limit_exceeded");

export const sessionContract = {
  list: fails("not_found")
    .route({ method: "GET", path: "/sessions", summary: "List sessions of all machines or of one" })
    .input(z.object({ vm: vmRef.optional() }))
    .output(z.array(session)),
  show: fails("not_found")
    .route({ method: "GET", path: "/vms/{vm}/sessions/{session}", summary: "Show a session" })
    .input(sessionRef)
    .output(session),
  start: fails(
    ...REACHES,
    "already_exists",
    "limit_exceeded",
    "command_not_found",
    "command_not_executable",
  )
    .route({ method: "POST", path: "/vms/{vm}/sessions", summary: "Start a session" })
    .input(sessionStart)
    .output(session),
  send: reach
    .route({
      method: "POST",
      path: "/vms/{vm}/sessions/{session}/send",
      summary: "Send input to a session",
    })
    .input(sessionSend)
    .output(nothing),
  signal: reach
    .route({
      method: "POST",
      path: "/vms/{vm}/sessions/{session}/signal",
      summary: "Send a signal to a session's processes",
    })
    .input(sessionRef.extend({ signal: signalName }))
    .output(nothing),
  resize: reach
    .route({
      method: "POST",
      path: "/vms/{vm}/sessions/{session}/resize",
      summary: "Resize a session's terminal",
    })
    .input(sessionRef.extend({ size: terminalSize }))
    .output(nothing),
  wait: fails("not_found", "invalid_state", "timeout")
    .route({
      method: "GET",
      path: "/vms/{vm}/sessions/{session}/wait",
      summary: "Wait for a session to end",
    })
    .input(sessionWait)
    .output(session),
  remove: fails(...REACHES)
    .route({
      method: "DELETE",
      path: "/vms/{vm}/sessions/{session}",
      summary: "Remove an ended session and its log",
    })
    /** `force`: kill it first when it runs. */
    .input(sessionRef.extend({ force: z.boolean().optional() }))
    .output(nothing),
};
