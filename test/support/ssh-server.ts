/** An ssh server of the test's own, for logins with keys. */
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { Server } from "ssh2";

export interface SshServer extends Disposable {
  readonly port: number;
}

/** Takes every key of every user, and answers each command with "welcome". `hostKey`: a file. */
export async function startSshServer(hostKey: string): Promise<SshServer> {
  const server = new Server({ hostKeys: [readFileSync(hostKey)] }, (client) => {
    client.on("error", () => {});
    client.on("authentication", (context) => {
      if (context.method === "publickey") context.accept();
      else context.reject(["publickey"]);
    });
    client.on("session", (accept) =>
      accept().on("exec", (take) => {
        const channel = take();
        channel.exit(0);
        channel.end("welcome\n");
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.dispose]: () => void server.close(),
  };
}
