/**
 * Tells the rules of `banger setup` that the user's own daemon holds the DNS port, which anybody may bind. The daemon
 * keeps a TCP connection to itself: what its end at the port sends has the user as its owner, and opens the way to the
 * port; the end of the connection, which comes with the end of the process, closes it.
 */
import { connect, type Socket } from "node:net";
import { setSocketOption } from "#base/libc.ts";
import type { Address } from "#net/address.ts";

/** Of the connection's own end, to tell it from others of the user; see `renderRedirect`. */
export const PRESENCE_DSCP = 0x2b;
const SOL_IP = 0;
const IP_TOS = 1;
/** The rules may be made anew at any time. */
const BEAT_MS = 2000;
const OPEN_TIMEOUT_MS = 10_000;
const BEAT = Uint8Array.of(0);

export class Presence {
  readonly #address: Address;
  readonly #port: number;
  readonly #heard = Promise.withResolvers<void>();
  #local = Promise.withResolvers<number | undefined>();
  #client: Socket | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  constructor(address: Address, port: number) {
    this.#address = address;
    this.#port = port;
  }

  /** Once the way is open; also where that takes too long, since an older setup needs nothing of this. */
  async open(): Promise<void> {
    this.#connect();
    const timer = setTimeout(this.#heard.resolve, OPEN_TIMEOUT_MS);
    await this.#heard.promise;
    clearTimeout(timer);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#local.resolve(undefined);
    this.#heard.resolve();
    this.#client?.destroy();
  }

  /** Whether an accepted connection is the daemon's own; if so it is served from here on. */
  async takes(peer: Socket): Promise<boolean> {
    const { remotePort } = peer;
    if (remotePort === undefined || remotePort !== (await this.#local.promise)) return false;
    peer.setTimeout(0);
    const beat = (): boolean => peer.write(BEAT);
    const timer = setInterval(beat, BEAT_MS);
    timer.unref();
    peer.once("close", () => clearInterval(timer)).resume();
    beat();
    return true;
  }

  #connect(): void {
    const [host, port] = [this.#address, this.#port];
    const local = Promise.withResolvers<number | undefined>();
    this.#local = local;
    const client = connect({ host, port, localAddress: host, noDelay: true });
    this.#client = client;
    client.once("connect", () => {
      const tos = Buffer.alloc(4);
      tos.writeInt32LE(PRESENCE_DSCP << 2);
      const fd = (client as { _handle?: { fd?: number } })._handle?.fd ?? -1;
      setSocketOption(fd, { level: SOL_IP, option: IP_TOS, value: tos });
      local.resolve(client.localPort);
    });
    client.on("data", () => this.#heard.resolve());
    client.on("error", () => {});
    client.once("close", () => {
      local.resolve(undefined);
      if (this.#isClosed) return;
      this.#timer = setTimeout(() => this.#connect(), BEAT_MS);
      this.#timer.unref();
    });
    client.unref();
  }
}
