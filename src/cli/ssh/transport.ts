import { Duplex } from "node:stream";
import { writeOut } from "#base/stdio.ts";

/** Standard input and output as the one stream that an ssh server takes for its socket. */
export function stdioTransport(): Duplex {
  const { stdin } = process;
  const transport = new Duplex({
    // ssh ends both directions or none: one that was killed is gone at the end of the input.
    allowHalfOpen: false,
    read() {
      stdin.resume();
    },
    write(chunk, _encoding, done) {
      writeOut(chunk).then(() => done(), done);
    },
    destroy(error, done) {
      stdin.pause();
      done(error);
    },
  });
  stdin.on("data", (chunk) => {
    if (!transport.push(chunk)) stdin.pause();
  });
  stdin.on("end", () => transport.push(null));
  stdin.on("error", () => transport.destroy());
  // A server asks these of a TCP socket.
  return Object.assign(transport, { setNoDelay: () => transport, setKeepAlive: () => transport });
}
