/** A QEMU microvm with the agent, started by a plain command line. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { BootRecord } from "#guest/boot.ts";
import { readAgentBinary, readFirstBoot } from "#guest/embedded.ts";
import { buildInitrd, buildStaticInitrd, moduleInitrdPath } from "#guest/initrd.ts";
import { PORT_NAME } from "#guest/protocol.ts";
import { Goodbye } from "#vmm/goodbye.ts";
import { connectOnce } from "./guest-agent.ts";
import type { GuestKernel } from "./guest-kernel.ts";
import { startReaper } from "./reaper.ts";

const KILL_WAIT_MS = 5000;
const MAC = "52:54:00:12:34:56";

export interface GuestMachineOptions {
  kernel: GuestKernel;
  /** Raw files, in order; the first of an overlay is read-only. */
  disks: readonly { path: string; readOnly: boolean }[];
  record: Partial<BootRecord>;
  memory_mib?: number;
  /** Further words of the kernel's command line. */
  append?: string;
  /** Further arguments for QEMU. */
  qemuArgs?: readonly string[];
}

export interface GuestMachine extends AsyncDisposable {
  readonly folder: string;
  connect(): Promise<Duplex>;
  /** Hears the guest's last word from now on. */
  listenForGoodbye(): Promise<Goodbye>;
  console(): string;
  readonly exited: Promise<number>;
}

export function startGuestMachine(options: GuestMachineOptions): GuestMachine {
  const folder = mkdtempSync(join(tmpdir(), "banger-guest-"));
  const reaper = startReaper(folder);
  const socket = join(folder, "agent.sock");
  const goodbyeSocket = join(folder, "goodbye.sock");
  const consolePath = join(folder, "console.log");
  writeFileSync(join(folder, "initrd"), initrdOf(options));
  const child = Bun.spawn(
    [
      "qemu-system-x86_64",
      ...["-M", "microvm", "-accel", "tcg,thread=single", "-cpu", "max,-erms", "-smp", "1"],
      ...["-m", String(options.memory_mib ?? 512), "-nodefaults", "-no-user-config", "-no-reboot"],
      ...["-display", "none", "-serial", `file:${consolePath}`],
      ...["-kernel", options.kernel.path, "-initrd", join(folder, "initrd"), "-append"],
      `console=ttyS0 quiet panic=-1 reboot=t net.ifnames=0 cryptomgr.notests tsc_early_khz=${tscKhz()} ${options.append ?? ""}`,
      ...options.disks.flatMap(({ path, readOnly }, index) => [
        ...[
          "-drive",
          `id=d${index},file=${path},format=raw,if=none,readonly=${readOnly ? "on" : "off"}`,
        ],
        ...["-device", `virtio-blk-device,drive=d${index}`],
      ]),
      ...["-netdev", "user,id=n0", "-device", `virtio-net-device,netdev=n0,mac=${MAC}`],
      ...["-device", "virtio-rng-device", "-device", "virtio-serial-device"],
      ...["-chardev", `socket,id=agent,path=${socket},server=on,wait=off`],
      ...["-device", `virtserialport,chardev=agent,name=${PORT_NAME}`],
      ...["-chardev", `socket,id=goodbye,path=${goodbyeSocket},server=on,wait=off`],
      ...["-device", "virtserialport,chardev=goodbye,name=org.banger.goodbye"],
      ...(options.qemuArgs ?? []),
    ],
    { stdin: "ignore", stdout: "ignore", stderr: Bun.file(join(folder, "qemu.log")) },
  );
  return {
    folder,
    exited: child.exited,
    console: () => (existsSync(consolePath) ? readFileSync(consolePath, "utf8") : ""),
    connect: () => connectWhenThere(socket, child.exited),
    async listenForGoodbye() {
      const goodbye = new Goodbye();
      goodbye.listen(await connectWhenThere(goodbyeSocket, child.exited));
      return goodbye;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await Promise.race([child.exited, Bun.sleep(KILL_WAIT_MS)]);
      rmSync(folder, { recursive: true, force: true });
      reaper[Symbol.dispose]();
    },
  };
}

/** The guest's clock goes wrong with another rate than the host's. */
function tscKhz(): number {
  const mhz = Number(/cpu MHz\s*:\s*([\d.]+)/.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1]);
  return Math.round((mhz || 2000) * 1000);
}

function initrdOf({ kernel, record }: GuestMachineOptions): Uint8Array {
  const staticPart = buildStaticInitrd({
    agent: readAgentBinary(),
    firstBoot: readFirstBoot(),
    modules: kernel.modules,
  });
  return buildInitrd(staticPart, {
    mode: "direct",
    hostname: "testbox",
    rootfs: { kind: "overlay" },
    network: { mac: MAC, address: "10.0.2.15/24", gateway: "10.0.2.2", dns: ["10.0.2.3"] },
    authorizedKeys: [],
    machineId: "0123456789abcdef0123456789abcdef",
    modules: kernel.modules.map(({ name }) => moduleInitrdPath(name)),
    env: { BANGER_TEST: "from the record" },
    time_unix_ns: BigInt(Date.now()) * 1_000_000n,
    entropySeed: crypto.getRandomValues(new Uint8Array(64)),
    ...record,
  });
}

/** QEMU makes its socket before it boots, a moment after it was started. */
async function connectWhenThere(path: string, exited: Promise<number>): Promise<Duplex> {
  let isOver = false;
  void exited.then(() => {
    isOver = true;
  });
  for (;;) {
    const socket = await connectOnce(path);
    if (socket) return socket;
    if (isOver) throw new Error("QEMU has ended");
    await Bun.sleep(10);
  }
}
