/**
 * Commands in a running machine: the time of `banger vm exec VM -- true` compared to fork and exec inside the
 * machine, many commands in a row, and output throughput compared to the raw virtio-serial port.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Agent, connectAgent } from "#guest/agent.ts";
import { pullBusybox } from "#test/busybox.ts";
import { connectOnce } from "#test/guest-agent.ts";
import { busyboxRoot, makeDisk } from "#test/guest-disk.ts";
import { guestKernel } from "#test/guest-kernel.ts";
import { startGuestMachine } from "#test/guest-machine.ts";
import { install } from "#test/installation.ts";
import { printRatio, program, race } from "./measure.ts";

const ROUNDS = 15;
const FORKS = 50;
const VM = "bench";
const OUTPUT_BYTES = 64 * 1024 * 1024;

await latency();
await throughput();

async function latency(): Promise<void> {
  await using banger = install();
  await pullBusybox(banger);
  const flags = ["--image", "busybox", "--name", VM, "--mode", "direct", "--net", "none"];
  await banger.ok("vm", "create", ...flags);
  const exec = (...argv: string[]) => banger.ok("vm", "exec", VM, "--", ...argv);
  const loop = `i=0; while [ $i -lt ${FORKS} ]; do /bin/busybox true; i=$((i+1)); done`;
  await exec("true");
  const [one = 0, forks = 0] = await race(
    [
      { name: "banger vm exec VM -- true", run: () => exec("/bin/busybox", "true") },
      { name: `the same with ${FORKS} forks in the machine`, run: () => exec("sh", "-c", loop) },
    ],
    ROUNDS,
  );
  const fork = (forks - one) / FORKS;
  console.log(
    `${(one - fork).toFixed(1).padStart(9)} ms  above fork and exec in the machine; budget 30\n`,
  );
  await race(
    [
      {
        name: "100 execs one after another",
        run: async () => {
          for (let count = 0; count < 100; count++) await exec("/bin/busybox", "true");
        },
      },
      {
        name: "20 execs at once",
        run: () => Promise.all(Array.from({ length: 20 }, () => exec("/bin/busybox", "true"))),
      },
    ],
    1,
  );
}

async function throughput(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "banger-bench-"));
  const raw = join(folder, "raw.sock");
  const [root, writable] = [join(folder, "root.img"), join(folder, "rw.img")];
  await makeDisk(root, { size: "64M", from: await busyboxRoot() });
  await makeDisk(writable, { size: "256M" });
  await using machine = startGuestMachine({
    kernel: await guestKernel(),
    disks: [
      { path: root, readOnly: true },
      { path: writable, readOnly: false },
    ],
    record: {},
    qemuArgs: [
      ...["-chardev", `socket,id=raw,path=${raw},server=on,wait=off`],
      ...["-device", "virtserialport,chardev=raw,name=raw"],
    ],
  });
  const agent = await connectAgent(await machine.connect(), { timeout_ms: 120_000 });
  const port = (await runIn(agent, "grep -l raw /sys/class/virtio-ports/*/name")).split("/").at(-2);
  const socket = await connectOnce(raw);
  if (!socket) throw new Error("the raw port does not listen");
  let wanted = 0;
  let arrived = Promise.withResolvers<void>();
  socket.on("data", (chunk: Uint8Array) => {
    wanted -= chunk.length;
    if (wanted <= 0) arrived.resolve();
  });
  const dd = ["dd", "if=/dev/zero", "bs=64k", `count=${OUTPUT_BYTES / 65_536}`];
  const throughPort = async (argv: string[]) => {
    wanted = OUTPUT_BYTES;
    arrived = Promise.withResolvers();
    await Promise.all([agent.run(argv), arrived.promise]);
  };
  await agent.files.writeFile("/tmp/pipe-to-port", await buildPipeToPort(folder), { mode: 0o755 });
  const [port_ms = 1, exec_ms = 1, most_ms = 1] = await race(
    [
      {
        name: "dd to the raw virtio-serial port",
        run: () => throughPort([...dd, `of=/dev/${port}`]),
      },
      { name: "dd to stdout, through exec", run: () => drain(agent, dd) },
      // What any capture of a command's output takes: under emulation a pipe costs more than the port.
      {
        name: "dd to a pipe, and from there to the raw port by a program that does nothing else",
        run: () => throughPort(["/tmp/pipe-to-port", `/dev/${port}`, ...dd]),
      },
      {
        name: "dd to a pipe whose reader throws it away",
        run: () => agent.run(["sh", "-c", `${dd.join(" ")} | dd of=/dev/null bs=1M`]),
      },
    ],
    9,
  );
  printRatio("exec / raw port, in bytes per second", port_ms / exec_ms, "at least 0.6");
  printRatio("the most that a pipe allows / raw port", port_ms / most_ms, "none");
  printRatio("exec / the most that a pipe allows", most_ms / exec_ms, "none");
  agent.close();
  socket.destroy();
  rmSync(folder, { recursive: true, force: true });
}

async function buildPipeToPort(folder: string): Promise<Uint8Array> {
  const file = join(folder, "pipe-to-port");
  const source = join(import.meta.dir, "pipe-to-port.c");
  await program("musl-gcc", "-std=c11", "-O2", "-static", "-s", source, "-o", file);
  return readFileSync(file);
}

async function runIn(agent: Agent, script: string): Promise<string> {
  const { stdout } = await agent.run(["sh", "-c", script]);
  return new TextDecoder().decode(stdout).trim();
}

async function drain(agent: Agent, argv: string[]): Promise<void> {
  const stream = await agent.exec({ argv });
  stream.onStdout((chunk) => stream.grant(chunk.length));
  stream.onStderr((chunk) => stream.grant(chunk.length));
  await stream.exited;
}
