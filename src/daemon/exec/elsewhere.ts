/** Forwards an exec WebSocket to the process that runs the machine in the foreground; credit is end to end. */
import { EXEC_PATH, EXEC_PROTOCOL } from "#api/exec.ts";
import { BangerError } from "#base/error.ts";
import { dialUnix } from "#sdk/websocket.ts";
import type { Socket } from "./socket-wire.ts";
import type { ExecSession } from "./wire.ts";

/** `socket` is where the other process answers; `fail` tells the client that it does not. */
export function openElsewhere(
  client: Socket,
  { socket, fail }: { socket: string; fail: (error: BangerError) => void },
): ExecSession {
  const other = dialUnix(socket, { path: EXEC_PATH, protocol: EXEC_PROTOCOL });
  other.binaryType = "arraybuffer";
  let waiting: (string | Uint8Array<ArrayBuffer>)[] | undefined = [];
  other.onopen = () => {
    for (const message of waiting ?? []) other.send(message);
    waiting = undefined;
  };
  other.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
    client.send(typeof data === "string" ? data : new Uint8Array(data));
  };
  other.onclose = () => {
    if (!waiting) return client.close(1000);
    fail(
      new BangerError("unavailable", "no response from the process that runs the machine", {
        hint: "It may be starting or stopping: try again in a moment",
      }),
    );
  };
  return {
    receive(message) {
      const own = typeof message === "string" ? message : new Uint8Array(message);
      if (waiting) waiting.push(own);
      else other.send(own);
    },
    clientLeft: () => other.close(),
  };
}
