/**
 * Snapshots of QEMU by its migration stream. The memory is a file of its own, which the capability
 * "x-ignore-shared" leaves out, so that the stream has processors and devices alone, some 60 KB. It goes
 * through a unix socket: the sandbox lets QEMU start no program, and versions before 8.2 write no file.
 * Source: docs/devel/migration of QEMU.
 */
import { createWriteStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { throwIfAborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { openSocket } from "#vmm/socket.ts";
import type { Qmp } from "./qmp.ts";

/** Devices alone are far below; memory that got into the stream by mistake is not. */
const STATE_MAX_BYTES = 64 * MiB;
const LOOK_MS = 2;
const TIMEOUT_MS = 60_000;

interface Options {
  /** Of the socket, in a private folder. */
  socketPath: string;
  statePath: string;
  signal?: AbortSignal | undefined;
}

/** Stops the machine and writes its state to a new file. */
export async function saveState(qmp: Qmp, options: Options): Promise<void> {
  const { socketPath, statePath, signal } = options;
  await prepare(qmp);
  await qmp.execute("stop");
  const written = Promise.withResolvers<void>();
  written.promise.catch(() => {});
  const server = createServer((socket) => {
    const file = createWriteStream(statePath, { flags: "wx", mode: 0o600 });
    pipeline(socket, limited(), file).then(written.resolve, written.reject);
  });
  server.once("error", written.reject);
  try {
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
    await qmp.execute("migrate", { uri: `unix:${socketPath}` });
    await completed(qmp, "save", signal);
    await written.promise;
  } finally {
    server.close();
  }
}

/** Gives a QEMU that waits for it the state of a snapshot, and lets the machine go on. */
export async function loadState(qmp: Qmp, options: Options): Promise<void> {
  const { socketPath, statePath, signal } = options;
  await prepare(qmp);
  await qmp.execute("migrate-incoming", { uri: `unix:${socketPath}` });
  const socket = await openSocket(socketPath, signal);
  try {
    socket.end(await readFile(statePath));
    await completed(qmp, "restore", signal);
  } finally {
    socket.destroy();
  }
  await qmp.execute("cont");
}

async function prepare(qmp: Qmp): Promise<void> {
  const capabilities = [{ capability: "x-ignore-shared", state: true }];
  await qmp.execute("migrate-set-capabilities", { capabilities });
}

async function completed(
  qmp: Qmp,
  verb: "save" | "restore",
  signal: AbortSignal | undefined,
): Promise<void> {
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  while (true) {
    throwIfAborted(signal);
    const { status, "error-desc": why } = (await qmp.execute("query-migrate")) as {
      status?: string;
      "error-desc"?: string;
    };
    if (status === "completed") return;
    if (status === "failed" || status === "cancelled") {
      throw new BangerError(
        "internal",
        `Cannot ${verb} the machine: ${why ?? `QEMU says ${status}`}`,
      );
    }
    if (limit.aborted) {
      throw new BangerError(
        "timeout",
        `Cannot ${verb} the machine: QEMU took over ${TIMEOUT_MS} ms`,
      );
    }
    await sleep(LOOK_MS);
  }
}

function limited(): Transform {
  let size = 0;
  return new Transform({
    transform(chunk: Buffer, _, done) {
      size += chunk.length;
      if (size <= STATE_MAX_BYTES) return done(null, chunk);
      done(
        new BangerError("limit_exceeded", `Cannot save the machine: over ${STATE_MAX_BYTES} bytes`),
      );
    },
  });
}
