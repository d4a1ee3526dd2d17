/** Sends datagrams to ports that may be closed. */

/**
 * A refusal that came back for an earlier datagram, to whomever, is what the next send fails
 * with, and then it is over: so it is tried twice. What cannot be sent is lost, as datagrams may be.
 */
export function sendDatagram(send: () => unknown): void {
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      send();
      return;
    } catch {
      // The socket is closed, the address out of reach, or see above.
    }
  }
}
