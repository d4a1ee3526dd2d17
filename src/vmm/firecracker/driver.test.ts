import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { argumentsOf } from "#base/process-identity.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import type { Plan } from "#test/firecracker-api.ts";
import { FirecrackerPeer } from "#test/firecracker-peer.ts";
import { GuestLines } from "#test/tiny-guest.ts";
import type { BootSpec } from "#vmm/driver.ts";
import { findProcesses } from "#vmm/process.ts";
import { createFirecrackerDriver, type FirecrackerOptions } from "./driver.ts";
import { belongsTo } from "./layout.ts";
import type { FirecrackerMachine } from "./machine.ts";

/** A link that every computer has; the peer opens none. */
const NETWORK = { kind: "tap", tap: "lo", mac: "52:54:00:12:34:56" } as const;

/** The whole sequence for a machine with two drives and a tap. */
const SEQUENCE = [
  "PUT /logger",
  "PUT /machine-config",
  "PUT /boot-source",
  "PUT /drives/disk0",
  "PUT /drives/disk1",
  "PUT /network-interfaces/eth0",
  "PUT /vsock",
  "PUT /entropy",
  "PUT /actions",
];

let folder = "";
const machines: FirecrackerMachine[] = [];

beforeEach(() => {
  folder = mkdtempSync("/tmp/banger-fc-");
});
afterEach(async () => {
  for (const machine of machines.splice(0)) await machine.kill();
  rmSync(folder, { recursive: true, force: true });
});

function setUp(plan: Plan = {}, options: FirecrackerOptions = {}) {
  const peer = new FirecrackerPeer(folder, plan);
  const driver = createFirecrackerDriver({ program: peer.program, jailer: false, ...options });
  const boot = async (spec: BootSpec): Promise<FirecrackerMachine> => {
    const machine = await driver.boot(spec);
    machines.push(machine);
    return machine;
  };
  return { peer, driver, boot };
}

/** Everything that a machine has outside its logs. */
function remains({ runtimeDir }: BootSpec): string[] {
  const processes = findProcesses((argv) => belongsTo(argv, runtimeDir));
  return [...readdirSync(runtimeDir), ...processes.map(({ pid }) => `pid ${pid}`)];
}

describe("boot", () => {
  test("sends everything in the legal order, and each request is accepted", async () => {
    const { peer, boot } = setUp();
    const spec = peer.spec({ network: NETWORK, cpus: 3, memory_mib: 777 });
    const machine = await boot(spec);
    const journal = peer.journal().filter(({ request }) => request !== "GET /");
    expect(journal.map(({ request }) => request)).toEqual(SEQUENCE);
    expect(journal.map(({ status }) => status)).toEqual(SEQUENCE.map(() => 204));
    const body = (request: string) => journal.find((line) => line.request === request)?.body;
    expect(body("PUT /machine-config")).toEqual({ vcpu_count: 3, mem_size_mib: 777, smt: false });
    expect(body("PUT /actions")).toEqual({ action_type: "InstanceStart" });
    // In its working directory, so that those of a machine that is restored are its own.
    expect(body("PUT /vsock")).toEqual({ guest_cid: 3, uds_path: "vsock.sock" });
    expect(body("PUT /drives/disk1")).toMatchObject({ path_on_host: "disk1" });
    expect(machine.handle).toMatchObject({ driver: "firecracker", accelerator: "kvm" });
    // Nothing turns its seccomp filters off.
    expect(argumentsOf(machine.handle.pid).slice(-9)).toEqual([
      ...["--id", spec.id, "--api-sock", `${spec.runtimeDir}/api.sock`],
      ...["--log-path", `${spec.runtimeDir}/vmm.log`, "--level", "Info", "--show-level"],
    ]);
  });

  test.each(SEQUENCE)("a refusal of %s is shown and leaves nothing", async (request) => {
    const { peer, driver } = setUp({ refuse: request, fault: "no \u20ac today" });
    const spec = peer.spec({ network: NETWORK });
    const failure = await bangerErrorOf(driver.boot(spec));
    expect(failure.message).toBe(
      `Cannot control Firecracker: ${request} failed with status 400: no € today`,
    );
    expect(remains(spec)).toEqual([]);
  });

  test.each(["GET /", ...SEQUENCE])("a crash at %s is told and leaves nothing", async (request) => {
    const { peer, driver } = setUp({ crash: request });
    const spec = peer.spec({ network: NETWORK });
    const { message } = await bangerErrorOf(driver.boot(spec));
    expect(message).toContain("Cannot start the machine: Firecracker exited at ");
    expect(message).toContain("status 1 (internal error): thread 'fc_api' panicked");
    expect(remains(spec)).toEqual([]);
  });

  test.each(["GET /", "PUT /drives/disk1"])(
    "an API that hangs at %s runs into the limit",
    async (hang) => {
      const { peer, driver } = setUp({ hang }, { requestTimeout_ms: 800 });
      const spec = peer.spec();
      const failure = await bangerErrorOf(driver.boot(spec));
      expect(failure.code).toBe("timeout");
      if (hang !== "GET /")
        expect(failure.message).toContain(`no response to ${hang} within 800 ms`);
      expect(remains(spec)).toEqual([]);
    },
  );

  test("a Firecracker without a socket runs into the limit", async () => {
    const { peer, driver } = setUp({ noSocket: true }, { requestTimeout_ms: 500 });
    const spec = peer.spec();
    expect((await bangerErrorOf(driver.boot(spec))).code).toBe("timeout");
    expect(remains(spec)).toEqual([]);
  });

  test("a Firecracker that ends at once is told with what it said", async () => {
    const { peer, driver } = setUp({ crashAtStart: "Error: cannot open /dev/kvm" });
    const spec = peer.spec();
    const failure = await bangerErrorOf(driver.boot(spec));
    expect([failure.code, failure.hint]).toEqual(["unavailable", "banger doctor"]);
    expect(failure.message).toContain("Firecracker exited at its start");
    expect(remains(spec)).toEqual([]);
  });

  test("can be cancelled at any time", async () => {
    const { peer, driver } = setUp({ hang: "PUT /vsock" });
    for (const delay_ms of [0, 30, 400]) {
      const spec = peer.spec();
      const failure = await bangerErrorOf(driver.boot(spec, AbortSignal.timeout(delay_ms)));
      expect(failure.code).toBe("cancelled");
      expect(remains(spec)).toEqual([]);
    }
  });

  test.each([
    ["Open tap device failed: Resource busy (os error 16)", "conflict"],
    ["Open tap device failed: Operation not permitted (os error 1)", "permission_denied"],
    ["Cannot create backing file: No such file or directory (os error 2)", "not_found"],
    ["Cannot create guest memory: Cannot allocate memory (os error 12)", "limit_exceeded"],
    ["Error creating KVM object: Permission denied (os error 13)", "permission_denied"],
  ])("knows what %p means", async (fault, code) => {
    const { peer, driver } = setUp({ refuse: "PUT /actions", fault });
    const failure = await bangerErrorOf(driver.boot(peer.spec()));
    expect(failure.code).toBe(code as never);
    expect(failure.hint).toBeDefined();
  });

  test("says no to what Firecracker cannot do before it starts anything", async () => {
    const { peer, driver } = setUp();
    const user = { kind: "user", mac: NETWORK.mac } as const;
    expect(await bangerErrorOf(driver.boot(peer.spec({ network: user })))).toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("user-mode network"),
    });
    const bzImage = peer.file("bzImage", `MZ${"\0".repeat(0x200)}HdrS${"\0".repeat(600)}`);
    const compressed = await bangerErrorOf(driver.boot(peer.spec({ kernelPath: bzImage })));
    expect(compressed.message).toContain("compressed kernel (bzImage)");
    expect(compressed.hint).toBeDefined();
    const gone = { ...NETWORK, tap: "bgr-none" };
    expect(await bangerErrorOf(driver.boot(peer.spec({ network: gone })))).toMatchObject({
      code: "not_found",
      message: expect.stringContaining('no such tap device "bgr-none"'),
      hint: "banger doctor",
    });
    const tooLong = { runtimeDir: `/tmp/${"r".repeat(76)}` };
    for (const changes of [{ cpus: 33 }, { memory_mib: 1 }, { id: "a/b" }, tooLong]) {
      const failure = await bangerErrorOf(driver.boot(peer.spec(changes)));
      expect(failure.code).toBe("invalid_argument");
    }
    expect((await bangerErrorOf(driver.boot(peer.spec({ initrdPath: "/none" })))).code).toBe(
      "not_found",
    );
    expect(peer.journal()).toEqual([]);
  });
});

describe("machine", () => {
  test("pauses, resumes, and limits its disks", async () => {
    const { peer, boot } = setUp();
    const drives = [{ path: peer.file("limited", ""), readOnly: false }];
    const machine = await boot(peer.spec({ drives }));
    await machine.pause();
    await machine.resume();
    const states = peer.journal().filter(({ request }) => request === "PATCH /vm");
    expect(states.map(({ body, status }) => [body?.["state"], status])).toEqual([
      ["Paused", 204],
      ["Resumed", 204],
    ]);
    await machine.limitDisks({ operations_per_s: 10 });
    expect(peer.journal().at(-1)).toMatchObject({
      request: "PATCH /drives/disk0",
      status: 204,
      body: { rate_limiter: { ops: { size: 10, refill_time: 1000 } } },
    });
  });

  test("a control that is refused or hangs is an error with its request", async () => {
    const refusing = setUp({ refuse: "PATCH /vm", fault: "vcpu stuck" });
    const machine = await refusing.boot(refusing.peer.spec());
    expect((await bangerErrorOf(machine.pause())).message).toContain(
      "PATCH /vm failed with status 400: vcpu stuck",
    );
    const hanging = setUp({ hang: "PATCH /vm" }, { requestTimeout_ms: 2000 });
    const silent = await hanging.boot(hanging.peer.spec());
    expect(await bangerErrorOf(silent.pause())).toMatchObject({
      code: "timeout",
      message: "Cannot control Firecracker: no response to PATCH /vm within 2000 ms",
    });
  });

  test("ctrl-alt-del reboots the guest, and the console tells a panic", async () => {
    const { peer, boot } = setUp();
    const first = await boot(peer.spec());
    if (!first.sendCtrlAltDel) throw new Error("there is a keyboard on x86");
    await first.sendCtrlAltDel();
    expect(await first.exited).toEqual({ kind: "reboot" });
    const spec = peer.spec();
    writeFileSync(spec.consolePath, "of an earlier boot\n");
    const second = await boot(spec);
    (await second.connectAgent()).write("panic\n");
    const detail = "guest console\nKernel panic - not syncing: Attempted to kill init!";
    expect(await second.exited).toEqual({ kind: "panic", detail });
    expect(readFileSync(spec.consolePath, "utf8")).toBe(`of an earlier boot\n${detail}\n`);
    expect(remains(spec)).toEqual([]);
  });

  test("keeps the serial console off, and silent, when told to", async () => {
    const { peer, boot } = setUp({}, { serial: false });
    const spec = peer.spec({ kernelArgs: ["console=ttyS0"] });
    await boot(spec);
    expect(readFileSync(spec.consolePath, "utf8")).toBe("");
  });

  test("says how Firecracker failed", async () => {
    const { peer, boot } = setUp();
    const machine = await boot(peer.spec());
    (await machine.connectAgent()).write("crash\n");
    const reason = await machine.exited;
    expect(reason).toMatchObject({ kind: "crashed" });
    expect(JSON.stringify(reason)).toContain(
      "status 148 (system call blocked by its seccomp filter",
    );
    expect((await bangerErrorOf(machine.pause())).code).toBe("invalid_state");
    expect((await bangerErrorOf(machine.connectAgent())).code).toBe("invalid_state");
  });

  test("asks for the agent until the guest listens", async () => {
    const { peer, boot } = setUp({ deafConnections: 3 });
    const machine = await boot(peer.spec());
    const stream = await machine.connectAgent();
    const first = await new Promise((resolve) =>
      stream.once("data", (data) => resolve(String(data))),
    );
    expect(first).toBe("hello\n");
  });

  test("asks on another connection where Firecracker stays silent", async () => {
    const { peer, boot } = setUp({ silentConnections: 5, deafConnections: 2 });
    const machine = await boot(peer.spec());
    const lines = new GuestLines(await machine.connectAgent());
    expect(await lines.next()).toBe("hello");
  });

  test("gives up on a silent Firecracker when told, and when the machine ends", async () => {
    const { peer, boot } = setUp({ silentConnections: 1_000_000 });
    const machine = await boot(peer.spec());
    const cancelled = await bangerErrorOf(machine.connectAgent(AbortSignal.timeout(200)));
    expect(cancelled.code).toBe("cancelled");
    const waiting = bangerErrorOf(machine.connectAgent());
    await machine.kill();
    expect((await waiting).code).toBe("invalid_state");
  });

  test("gives up on the agent when told, when another asks, and when the machine ends", async () => {
    const { peer, boot } = setUp({ deafConnections: 1_000_000 });
    const machine = await boot(peer.spec());
    const cancelled = await bangerErrorOf(machine.connectAgent(AbortSignal.timeout(50)));
    expect(cancelled.code).toBe("cancelled");
    const first = bangerErrorOf(machine.connectAgent());
    const second = bangerErrorOf(machine.connectAgent());
    expect((await first).code).toBe("cancelled");
    await machine.kill();
    expect((await second).code).toBe("invalid_state");
    expect(await machine.exited).toEqual({ kind: "killed" });
  });

  test("takes connections that the guest makes", async () => {
    const { peer, boot } = setUp();
    const spec = peer.spec();
    const machine = await boot(spec);
    const heard = Promise.withResolvers<string>();
    await machine.listen(5000, (socket) =>
      socket.on("data", (data) => heard.resolve(String(data))),
    );
    const path = `${spec.runtimeDir}/vsock.sock_5000`;
    const guest = await Bun.connect({ unix: path, socket: { data() {} } });
    guest.write("from the guest");
    expect(await heard.promise).toBe("from the guest");
    await machine.kill();
    expect(existsSync(path)).toBe(false);
    expect(remains(spec)).toEqual([]);
  });
});

describe("adoption", () => {
  test("takes over what runs, and nothing else", async () => {
    const { peer, driver, boot } = setUp();
    const spec = peer.spec();
    const { handle } = await boot(spec);
    machines.splice(0)[0]?.release();
    expect(await driver.adopt({ ...handle, driver: "qemu" })).toBeUndefined();
    expect(await driver.adopt({ ...handle, runtimeDir: folder })).toBeUndefined();
    const reused = { ...handle, startTime_ticks: handle.startTime_ticks + 1 };
    expect(await driver.adopt(reused)).toBeUndefined();
    const adopted = await driver.adopt(handle);
    if (!adopted) throw new Error("the machine is gone");
    machines.push(adopted);
    await adopted.pause();
    await adopted.resume();
    const stream = await adopted.connectAgent();
    stream.write("poweroff\n");
    // Nobody saw its status, since it was not our child; but it said goodbye.
    expect(await adopted.exited).toEqual({ kind: "poweroff" });
    expect(remains(spec)).toEqual([]);
    expect(await driver.adopt(handle)).toBeUndefined();
  });

  test("ends a machine whose handle was lost", async () => {
    const { peer, driver, boot } = setUp();
    const spec = peer.spec();
    await boot(spec);
    machines.splice(0)[0]?.release();
    expect(await driver.killOrphan(spec.runtimeDir)).toBe(true);
    expect(remains(spec)).toEqual([]);
    expect(await driver.killOrphan(spec.runtimeDir)).toBe(false);
    await sleep(0);
  });
});
