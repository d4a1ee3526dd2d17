import { connect, type Socket } from "node:net";
import { BangerError, messageOf } from "#base/error.ts";

/** A connected unix socket. Rejects with `unavailable`, and with `cancelled` on abort. */
export function openSocket(path: string, signal?: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    const settle = (act: () => void): void => {
      signal?.removeEventListener("abort", onAbort);
      socket.removeAllListeners("connect");
      socket.removeAllListeners("error");
      act();
    };
    const fail = (error: BangerError): void => {
      // A failure that comes after this one has nobody to tell.
      socket.on("error", () => {});
      socket.destroy();
      reject(error);
    };
    const onAbort = (): void =>
      settle(() => fail(new BangerError("cancelled", `cancelled while connecting to "${path}"`)));
    socket.once("connect", () => settle(() => resolve(socket)));
    socket.once("error", (cause) =>
      settle(() => {
        const text = `Cannot connect to "${path}": ${messageOf(cause)}`;
        fail(new BangerError("unavailable", text, { cause }));
      }),
    );
    if (signal?.aborted) return onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
