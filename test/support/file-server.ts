/** File servers on free ports of 127.0.0.1. */
import { randomInt } from "node:crypto";
import { createServer } from "node:net";

export interface FileServer extends AsyncDisposable {
  /** "http://127.0.0.1:PORT". */
  readonly url: string;
}

/** busybox's httpd, which knows HEAD and Range. */
export async function serveFiles(folder: string): Promise<FileServer> {
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
  return await start(["/bin/busybox", "httpd", "-f", "-p", address, "-h", folder], address);
}

/** rclone's WebDAV server, which takes uploads. */
export async function serveWebdav(folder: string): Promise<FileServer> {
  const address = `127.0.0.1:${await freePort()}`;
  const argv = ["rclone", "--config", "/dev/null", "serve", "webdav", folder, "--addr", address];
  return await start(argv, address);
}

async function start(argv: string[], address: string): Promise<FileServer> {
  const child = Bun.spawn(argv, { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
  const url = `http://${address}`;
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await child.exited;
  };
  while (child.exitCode === null) {
    const isThere = await fetch(`${url}/`).then(
      () => true,
      () => false,
    );
    if (isThere) return { url, [Symbol.asyncDispose]: stop };
    await Bun.sleep(25);
  }
  await stop();
  throw new Error(`${argv[0]} did not start`);
}

/**
 * Free a moment ago: the servers here cannot choose one by themselves. Below those that the kernel gives to
 * connections and to who asks for any port.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 30_000);
    const server = createServer();
    const { promise, resolve } = Promise.withResolvers<boolean>();
    server.on("error", () => resolve(false)).listen(port, "127.0.0.1", () => resolve(true));
    if (!(await promise)) continue;
    const closed = Promise.withResolvers<void>();
    server.close(() => closed.resolve());
    await closed.promise;
    return port;
  }
}
