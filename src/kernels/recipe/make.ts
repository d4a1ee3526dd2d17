/**
 * Runs the kernel's makefiles with a clean environment, so that builds are reproducible, and in a process group of
 * its own, so that it can be killed as a whole.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { onAbort, throwIfAborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import type { Toolchain } from "./toolchain.ts";

const MAX_LOG_BYTES = 64 * MiB;
const TAIL_LINES = 40;
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** Build time, host and user in the kernel's version string. */
const STAMP = [
  "KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 1970",
  "KBUILD_BUILD_USER=banger",
  "KBUILD_BUILD_HOST=banger",
  "KBUILD_BUILD_VERSION=1",
  "LOCALVERSION=",
];

export interface MakeOptions {
  /** The kernel source, and the output directory. */
  tree: string;
  objects: string;
  toolchain: Toolchain;
  /** Log file to append to. */
  log: string;
  /** Default 1. */
  jobs?: number;
  /** Further `NAME=VALUE`. */
  variables?: readonly string[];
  signal?: AbortSignal | undefined;
  onLine?: ((line: string) => void) | undefined;
}

/** `internal` with the last compiler output on failure, `cancelled` if the signal fires. */
export async function make(target: string, options: MakeOptions): Promise<void> {
  const { signal, log } = options;
  throwIfAborted(signal);
  const child = Bun.spawn(argvOf(target, options), {
    detached: true,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const endGroup = (): void => killGroup(child.pid);
  using _ = onAbort(signal, endGroup);
  const fd = openSync(log, "a", 0o600);
  const tail: string[] = [];
  try {
    let logged = 0;
    const take = (line: string): void => {
      if (logged < MAX_LOG_BYTES) logged += writeSync(fd, `${line}\n`);
      options.onLine?.(line);
      if (!/^ {2}[A-Z]/.test(line)) tail.push(line);
      if (tail.length > TAIL_LINES) tail.shift();
    };
    await Promise.all([eachLine(child.stdout, take), eachLine(child.stderr, take)]);
    const status = await child.exited;
    throwIfAborted(signal);
    if (status === 0) return;
    throw failure(target, tail, log);
  } finally {
    // No process may write to the directories, which the caller removes now.
    endGroup();
    await child.exited;
    closeSync(fd);
  }
}

function argvOf(target: string, options: MakeOptions): string[] {
  const { tree, objects, toolchain } = options;
  const paths = `-ffile-prefix-map=${tree}/= -ffile-prefix-map=${objects}/=`;
  return [
    ...["/usr/bin/env", "-i", `PATH=${PATH}`, "LC_ALL=C", "HOME=/nonexistent"],
    ...["nice", "-n", "10", "make", "-C", tree, `O=${objects}`, `-j${options.jobs ?? 1}`],
    `ARCH=${toolchain.makeArch}`,
    `CROSS_COMPILE=${toolchain.prefix}`,
    `KCFLAGS=${paths}`,
    `KAFLAGS=${paths}`,
    ...STAMP,
    ...(options.variables ?? []),
    target,
  ];
}

async function eachLine(
  stream: ReadableStream<Uint8Array>,
  take: (line: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = (lines.pop() ?? "").slice(-10_000);
    for (const line of lines) take(line);
  }
  if (rest !== "") take(rest);
}

function failure(target: string, tail: readonly string[], log: string): BangerError {
  const lines = tail.filter((line) => line.trim() !== "" && !/^make(\[\d+\])?: /.test(line));
  const errors = lines.filter((line) => /error|undefined reference|No space left/i.test(line));
  const shown = (errors.length > 0 ? errors : lines).slice(-5).join("; ").slice(-1000);
  if (/No space left on device/.test(shown)) {
    return new BangerError("no_space", "Cannot build the kernel: no space left on device", {
      hint: "A build needs about 4 GiB; move the cache with XDG_CACHE_HOME",
    });
  }
  const text = `Cannot build the kernel: "make ${target}" failed: ${shown}`;
  return new BangerError("internal", text, { hint: `See the full log: ${log}` });
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // The process group has exited.
  }
}
