/** What a QEMU does by itself when it is restored, seen from outside: its guest here never gets as far as a kernel. */
import { expect } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testNeeding } from "#test/needs.ts";
import { openQmp, type Qmp } from "#vmm/qemu/qmp.ts";
import { loadState, saveSnapshot } from "#vmm/qemu/snapshot.ts";

const hostTest = testNeeding("qemu-system-x86_64");

const MEMORY = "16M";
const SENTINEL = "sentinel";

hostTest(
  "a restored machine is not announced in its network by the addresses it was saved with",
  async () => {
    await using host = await startHost();
    const saved = {
      statePath: join(host.folder, "state"),
      memoryPath: join(host.folder, "memory"),
    };
    const scratch = { inside: host.folder, outside: host.folder };
    const source = await host.start("source");
    await saveSnapshot(source.qmp, saved, { pid: source.pid, scratch });
    const restored = await host.start("restored", saved.memoryPath);
    await loadState(restored.qmp, { scratch, statePath: saved.statePath, grown: [] });
    expect(await host.frames()).toEqual([]);
    // It could have been seen.
    await restored.qmp.execute("announce-self", { initial: 50, max: 550, rounds: 1, step: 50 });
    expect((await host.frames()).length).toBeGreaterThan(0);
  },
);

/** A network of frames in datagrams, and QEMUs in it. */
async function startHost() {
  const folder = mkdtempSync(join(tmpdir(), "banger-restore-"));
  const seen: string[] = [];
  const network = await Bun.udpSocket({
    hostname: "127.0.0.1",
    socket: { data: (_socket, bytes) => void seen.push(bytes.toString("latin1")) },
  });
  const started: { child: Bun.Subprocess; qmp: Qmp }[] = [];

  const start = async (name: string, memoryPath?: string) => {
    mkdirSync(join(folder, name));
    const control = join(folder, name, "qmp.sock");
    const backing = memoryPath
      ? `memory-backend-file,mem-path=${memoryPath},share=off`
      : "memory-backend-ram";
    const child = Bun.spawn(
      [
        ...["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"],
        ...["-M", "microvm,memory-backend=memory", "-accel", "tcg", "-m", MEMORY],
        ...["-object", `${backing},id=memory,size=${MEMORY}`],
        ...["-qmp", `unix:${control},server=on,wait=off`],
        ...["-netdev", `socket,id=net,udp=127.0.0.1:${network.port},localaddr=127.0.0.1:0`],
        ...["-device", "virtio-net-device,netdev=net,mac=02:00:00:00:00:01,guest_announce=off"],
        ...(memoryPath ? ["-incoming", "defer"] : []),
      ],
      { stdin: "ignore", stdout: "ignore", stderr: "inherit" },
    );
    const qmp = await controlOf(control, child);
    started.push({ child, qmp });
    return { qmp, pid: child.pid };
  };

  /** Those that were sent so far. A datagram on loopback is there as soon as it was sent. */
  const frames = async (): Promise<string[]> => {
    network.send(SENTINEL, network.port, "127.0.0.1");
    while (!seen.includes(SENTINEL)) await Bun.sleep(1);
    return seen.splice(0).filter((frame) => frame !== SENTINEL);
  };

  return {
    folder,
    start,
    frames,
    async [Symbol.asyncDispose]() {
      for (const { child, qmp } of started) {
        qmp.close();
        child.kill("SIGKILL");
        await child.exited;
      }
      network.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function controlOf(path: string, child: Bun.Subprocess): Promise<Qmp> {
  while (child.exitCode === null) {
    try {
      return await openQmp(path, { onEvent: () => {} });
    } catch {
      await Bun.sleep(2);
    }
  }
  throw new Error(`QEMU has ended with status ${child.exitCode}`);
}
