/** Service manager notifications. Source: sd_notify(3). */
import { getLogger } from "@logtape/logtape";
import { sendUnixDatagram } from "#base/libc.ts";
import { takeNotifySocket } from "#config/environment.ts";

const AF_UNIX = 1;
/** Of sockaddr_un: two bytes of family, then the path. */
const PATH_MAX_BYTES = 108;

const log = getLogger(["banger", "daemon"]);

export interface Notifier {
  /** It can be used from now on. */
  ready(status: string): void;
  status(status: string): void;
  stopping(status: string): void;
}

/** Says nothing where nobody listens. The programs that this process starts are not heard. */
export function makeNotifier(): Notifier {
  const path = takeNotifySocket();
  const say = (...lines: string[]): void => {
    if (path !== undefined && !send(path, lines.join("\n"))) {
      log.warn("cannot notify the service manager at {path}", { path });
    }
  };
  return {
    ready: (status) => say("READY=1", `STATUS=${oneLine(status)}`),
    status: (status) => say(`STATUS=${oneLine(status)}`),
    stopping: (status) => say("STOPPING=1", `STATUS=${oneLine(status)}`),
  };
}

/** False when nobody took it. A name that begins with "@" is in the abstract namespace. */
export function send(path: string, message: string): boolean {
  const name = Buffer.from(path.replace(/^@/, "\0"));
  if (name.length > PATH_MAX_BYTES) return false;
  const address = Buffer.concat([new Uint8Array(Uint16Array.of(AF_UNIX).buffer), name]);
  return sendUnixDatagram(address, Buffer.from(message));
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ");
}
