/** Exec streams of programs that reach the daemon at its unix socket, unless they bring another channel. */
import type { ExecOpen } from "#api/exec.ts";
import { EXEC_PATH, EXEC_PROTOCOL } from "#api/exec-constants.ts";
import type { ExecConnection, ExecOptions } from "#api/serve/exec-client.ts";
import { type ChannelEvents, type Dial, type ExecChannel, openExecOver } from "./exec-stream.ts";
import { dialUnix } from "./websocket.ts";

export type { ExecConnection, ExecOptions } from "#api/serve/exec-client.ts";

export function openExec(
  socket: string,
  open: ExecOpen,
  options: ExecOptions & { dial?: Dial } = {},
): ExecConnection {
  return openExecOver(socket, open, { ...options, dial: options.dial ?? dialDaemon });
}

/** On the daemon's unix socket. */
function dialDaemon(socket: string, { onOpen, onMessage, onClose }: ChannelEvents): ExecChannel {
  const web = dialUnix(socket, { path: EXEC_PATH, protocol: EXEC_PROTOCOL });
  web.binaryType = "arraybuffer";
  web.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => onMessage(data);
  web.onopen = onOpen;
  web.onclose = ({ reason }) => onClose(reason);
  return {
    get isOpen() {
      return web.readyState === WebSocket.OPEN;
    },
    send: (data) => web.send(data),
    close() {
      if (web.readyState < WebSocket.CLOSING) web.close(1000);
    },
  };
}
