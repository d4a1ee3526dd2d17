/** What a service manager hears, by a real socket. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { send } from "./notify.ts";

/** Prints one datagram: Bun itself has no unix sockets for them. */
const LISTENER =
  "($path = $ARGV[0]) =~ s/^@/\\0/; $| = 1; socket(S, PF_UNIX, SOCK_DGRAM, 0) or die;" +
  'bind(S, pack_sockaddr_un($path)) or die; print "bound\\n"; recv(S, $got, 4096, 0); print "$got\\n"';

test("a datagram reaches a path and an abstract name, and nobody's socket is no error", async () => {
  const folder = mkdtempSync(join(tmpdir(), "banger-notify-"));
  try {
    for (const name of [join(folder, "socket"), `@banger-notify-${process.pid}`]) {
      const listener = Bun.spawn(["perl", "-MSocket", "-e", LISTENER, name], { stdout: "pipe" });
      let heard = "";
      for await (const chunk of listener.stdout) {
        heard += new TextDecoder().decode(chunk);
        if (heard === "bound\n") expect(send(name, "READY=1\nSTATUS=up")).toBe(true);
      }
      expect(heard).toBe("bound\nREADY=1\nSTATUS=up\n");
    }
    expect(send(join(folder, "none"), "READY=1")).toBe(false);
    expect(send(`/${"x".repeat(200)}`, "READY=1")).toBe(false);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
