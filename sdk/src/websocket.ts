/** WebSockets on unix sockets. */
import { closeSync, openSync } from "node:fs";

const O_PATH = 0o10000000;
/** What the runtime takes as it is between "ws+unix://" and the colon; it decodes nothing, and refuses the rest. */
const PLAIN = /^[\w/.@+,=-]+$/;
const NOWHERE = "/proc/self/fd/none";

/** Connects to the socket at `socket`, which may have any name, such as one below the home of "John O'Brien". */
export function dialUnix(socket: string, route: { path: string; protocol: string }): WebSocket {
  const dial = (at: string): WebSocket =>
    new WebSocket(`ws+unix://${at}:${route.path}`, route.protocol);
  if (PLAIN.test(socket)) return dial(socket);
  const fd = openPath(socket);
  if (fd === undefined) return dial(NOWHERE);
  const web = dial(`/proc/self/fd/${fd}`);
  let isOpen = true;
  const close = (): void => {
    if (isOpen) closeSync(fd);
    isOpen = false;
  };
  web.addEventListener("open", close);
  web.addEventListener("close", close);
  return web;
}

/** Undefined where there is nothing: to the caller the same as a socket that nobody answers at. */
function openPath(path: string): number | undefined {
  try {
    return openSync(path, O_PATH);
  } catch {
    return undefined;
  }
}
