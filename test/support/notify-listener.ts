/** Listens on $NOTIFY_SOCKET and records what a service sends to its manager. */
import { join } from "node:path";

/** One line for each line of a datagram; Bun itself has no unix sockets for them. */
const PROGRAM =
  "$| = 1; socket(S, PF_UNIX, SOCK_DGRAM, 0) or die; bind(S, pack_sockaddr_un($ARGV[0])) or die;" +
  'while (defined recv(S, $got, 4096, 0)) { print "$got\\n" }';

export interface NotifyListener extends Disposable {
  readonly path: string;
  readonly lines: string[];
  heard(line: string): Promise<void>;
}

export function listenForNotices(folder: string): NotifyListener {
  const path = join(folder, "notify.sock");
  const child = Bun.spawn(["perl", "-MSocket", "-e", PROGRAM, path], { stdout: "pipe" });
  const lines: string[] = [];
  let change = Promise.withResolvers<void>();
  void (async () => {
    let held = "";
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) {
      const parts = (held + decoder.decode(chunk, { stream: true })).split("\n");
      held = parts.pop() ?? "";
      lines.push(...parts);
      change.resolve();
      change = Promise.withResolvers();
    }
  })();
  return {
    path,
    lines,
    async heard(line) {
      while (!lines.includes(line)) await change.promise;
    },
    [Symbol.dispose]: () => child.kill(),
  };
}
