/** An exec stream within this process: the SDK's client on one side, the daemon's session on the other. */

import type { ExecOpen } from "#api/exec.ts";
import type { Caller } from "#api/serve/caller.ts";
import type { ExecConnection, ExecOptions } from "#api/serve/exec-client.ts";
import { SocketSession } from "#daemon/exec/session.ts";
import type { StreamServices } from "#daemon/exec/streams.ts";
import { type ChannelEvents, type ExecChannel, openExecOver } from "#sdk/exec-stream.ts";

/** Same checks and flow control as over a WebSocket. */
export function openExecHere(
  services: StreamServices,
  caller: Caller,
  { open, options }: { open: ExecOpen; options: ExecOptions | undefined },
): ExecConnection {
  const dial = (_: string, events: ChannelEvents) => makePair(services, caller, events);
  return openExecOver("", open, { ...options, dial });
}

function makePair(
  services: StreamServices,
  caller: Caller,
  { onOpen, onMessage, onClose }: ChannelEvents,
): ExecChannel {
  let isOpen = false;
  let isClosed = false;
  // One message per turn of the event loop, in order, as with a socket.
  const later = (work: () => void): void => queueMicrotask(work);
  const session = new SocketSession(
    {
      send: (message) =>
        later(() => {
          if (!isClosed) onMessage(typeof message === "string" ? message : bufferOf(message));
        }),
      close: () => later(() => end(() => onClose(""))),
    },
    services,
    caller,
  );
  function end(tell: () => void): void {
    if (isClosed) return;
    isClosed = true;
    isOpen = false;
    session.clientLeft();
    tell();
  }
  later(() => {
    isOpen = true;
    onOpen();
  });
  return {
    get isOpen() {
      return isOpen;
    },
    send: (data) =>
      later(() => {
        if (!isClosed) session.receive(data);
      }),
    close: () => end(() => {}),
  };
}

function bufferOf(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}
