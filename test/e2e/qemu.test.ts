import { afterAll, afterEach, beforeAll, describe, expect } from "bun:test";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { getPriority } from "node:os";
import { join } from "node:path";
import { hashFile } from "#base/files/copy-file.ts";
import { run, runOk, which } from "#base/run.ts";
import { MiB } from "#base/size.ts";
import { downloadPackage, resolveKernelPackage } from "#kernels/apt.ts";
import type { BootKernel } from "#kernels/service.ts";
import { bangerErrorOf } from "#test/expect-error.ts";

import { testNeeding } from "#test/needs.ts";
import { startReaper } from "#test/reaper.ts";
import {
  buildTinyInitrd,
  GuestLines,
  isGone,
  pullTestKernel,
  testCache,
} from "#test/tiny-guest.ts";
import type { BootSpec, Machine, MachineHandle } from "#vmm/driver.ts";
import { jailKind } from "#vmm/jail/program.ts";
import { scratchOf } from "#vmm/jail/scratch.ts";
import { jailUid } from "#vmm/jail/user.ts";
import { findProcesses } from "#vmm/process.ts";
import { socketPaths } from "#vmm/qemu/command.ts";
import { createQemuDriver } from "#vmm/qemu/driver.ts";
import { MemoryCopy } from "#vmm/qemu/memory.ts";
import { belongsTo } from "#vmm/qemu/process.ts";
import { openQmp } from "#vmm/qemu/qmp.ts";

const needs = ["qemu-system-x86_64", "gcc", "apt-get", "dpkg-deb", "xz"];
const test = testNeeding(...needs);
const testAsRoot = testNeeding("root", "ip", ...needs);

const MAC = "52:54:00:12:34:56";

describe("QEMU driver", () => {
  const driver = createQemuDriver();
  const machines: Machine[] = [];
  let folder: string;
  let kernel: BootKernel;
  let initrd: string;
  let counter = 0;

  beforeAll(async () => {
    folder = mkdtempSync("/tmp/banger-qemu-");
    startReaper(folder);
    if (needs.some((program) => !which(program))) return;
    kernel = await pullTestKernel(join(folder, "kernels"));
    initrd = await buildTinyInitrd(folder, kernel);
  });

  afterEach(async () => {
    for (const machine of machines.splice(0)) await machine.kill();
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function makeSpec(changes: Partial<BootSpec> = {}): BootSpec {
    const runtimeDir = join(folder, `m${counter++}`);
    mkdirSync(runtimeDir);
    return {
      id: `test-${counter}`,
      runtimeDir,
      consolePath: `${runtimeDir}.console`,
      logPath: `${runtimeDir}.log`,
      cpus: 1,
      memory_mib: 192,
      kernelPath: kernel.path,
      initrdPath: initrd,
      kernelArgs: [],
      drives: [],
      network: undefined,
      ...changes,
    };
  }

  async function boot(spec: BootSpec): Promise<{ machine: Machine; guest: GuestLines }> {
    const machine = await driver.boot(spec);
    machines.push(machine);
    const guest = new GuestLines(await machine.connectAgent());
    expect(await guest.next()).toBe("hello");
    return { machine, guest };
  }

  function makeDisk(name: string, size_bytes: number): string {
    const path = join(folder, name);
    writeFileSync(path, "");
    truncateSync(path, size_bytes);
    return path;
  }

  /** Everything that a machine has outside its logs. */
  function remains(spec: BootSpec): string[] {
    const files = existsSync(spec.runtimeDir) ? readdirSync(spec.runtimeDir) : [];
    return [
      ...files,
      ...findProcesses((argv) => belongsTo(argv, spec.runtimeDir)).map(({ pid }) => `pid ${pid}`),
    ];
  }

  test("boots with drives in order, network and agent port, and powers off", async () => {
    const drives = [
      { path: makeDisk("root,a.img", 8 << 20), readOnly: true },
      { path: makeDisk("b.img", 16 << 20), readOnly: false },
      { path: makeDisk("c.img", 24 << 20), readOnly: false },
    ];
    const network = { kind: "user", mac: MAC } as const;
    const spec = makeSpec({ drives, network, kernelArgs: ["banger.test=1"] });
    const { machine, guest } = await boot(spec);
    expect(await guest.ask("disks")).toBe("vda 16384 1;vdb 32768 0;vdc 49152 0");
    expect(await guest.ask("net")).toContain("eth0");
    expect(await guest.ask("cmdline")).toMatch(/panic=-1 .*banger\.test=1$/);
    expect(await guest.ask("äöü 123")).toBe("äöü 123");
    guest.send("poweroff");
    expect(await machine.exited).toEqual({ kind: "poweroff" });
    expect(isGone(machine.handle.pid)).toBe(true);
    expect(remains(spec)).toEqual([]);
    expect((await bangerErrorOf(machine.connectAgent())).code).toBe("invalid_state");
    await machine.kill();
  });

  /** By what the kernel says of the process. */
  function expectConfined({ pid, runtimeDir }: MachineHandle): void {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const uid = jailUid(runtimeDir);
    expect(status).toContain(`\nUid:\t${uid}\t${uid}\t${uid}\t${uid}\n`);
    expect(status).toMatch(/^Groups:\s*$/m);
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
      expect(status).toMatch(new RegExp(`^${set}:\\s0+$`, "m"));
    expect(status).toContain("\nNoNewPrivs:\t1\n");
    expect(status).toContain("\nSeccomp:\t2\n");
    const root = `/proc/${pid}/root`;
    for (const kind of ["mnt", "net", "ipc"])
      expect(readlinkSync(`/proc/${pid}/ns/${kind}`)).not.toBe(
        readlinkSync(`/proc/self/ns/${kind}`),
      );
    const mounts = readFileSync(`/proc/${pid}/mountinfo`, "utf8").trim().split("\n");
    const writable = mounts
      .map((line) => line.split(" "))
      .filter(([, , , , , mode]) => /^rw/.test(mode ?? ""));
    // Memory of its own, which is its root, and devices of its own in it.
    expect(writable.map(([, , , , path]) => path)).toEqual(["/"]);
    expect(mounts.join("\n")).toContain(" - tmpfs banger-jail ");
    // The files that it boots from are there, others beside them are not: it has its disk open.
    expect(readdirSync(`${root}${folder}`).sort()).toEqual(
      [kernel.path, initrd].map((path) => path.slice(folder.length + 1).split("/")[0] ?? "").sort(),
    );
    expect(readdirSync(`${root}/dev`)).not.toContain("net");
    for (const name of ["etc/passwd", "home", "root", "var", "run", "proc", "sys"])
      expect(existsSync(join(root, name))).toBe(false);
  }

  testAsRoot("uses a tap that is there, and does not make one", async () => {
    const tap = `bgr-${process.pid % 100_000}`;
    await runOk(["ip", "tuntap", "add", tap, "mode", "tap"]);
    try {
      await runOk(["ip", "link", "set", tap, "up"]);
      const drives = [{ path: makeDisk("held.img", 8 << 20), readOnly: false }];
      const spec = makeSpec({ drives, network: { kind: "tap", tap, mac: MAC } });
      const { machine, guest } = await boot(spec);
      expect(await guest.ask("net")).toContain("eth0");
      expectConfined(machine.handle);
      expect(readFileSync(`/sys/class/net/${tap}/carrier`, "utf8").trim()).toBe("1");
      const second = await bangerErrorOf(driver.boot(makeSpec({ network: spec.network })));
      expect(second.code).toBe("conflict");
    } finally {
      await run(["ip", "link", "delete", tap]);
    }
  });

  test("carries a megabyte to the guest and back, all its threads behind other programs", async () => {
    const { machine, guest } = await boot(makeSpec());
    const { pid, accelerator } = machine.handle;
    const wanted = accelerator === "tcg" ? 10 : 0;
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      expect(getPriority(Number(thread))).toBe(wanted);
    }
    const line = "0123456789abcdef".repeat(120);
    for (let round = 0; round < 550; round++) expect(await guest.ask(line)).toBe(line);
  });

  test("2 and 4 busy CPUs survive a kernel that patches its own code", async () => {
    const guests = await Promise.all([2, 4].map((cpus) => boot(makeSpec({ cpus }))));
    const answers = guests.map(({ guest }) => guest.ask("switch 200"));
    expect(await Promise.all(answers)).toEqual(["switched 200", "switched 200"]);
  });

  test("tells a panic from a reboot, and shows the console's end", async () => {
    const panicking = makeSpec();
    const first = await boot(panicking);
    first.guest.send("panic");
    expect(await first.machine.exited).toMatchObject({
      kind: "panic",
      detail: expect.stringContaining("Kernel panic - not syncing: Attempted to kill init!"),
    });
    // The same console file: the panic in it is that of the boot before.
    const second = await boot({ ...makeSpec(), consolePath: panicking.consolePath });
    second.guest.send("reboot");
    expect(await second.machine.exited).toEqual({ kind: "reboot" });
  });

  test("tells an end by others, and a crash", async () => {
    const ended = await boot(makeSpec());
    process.kill(ended.machine.handle.pid, "SIGKILL");
    expect(await ended.machine.exited).toEqual({ kind: "killed" });
    const crashing = await boot(makeSpec());
    process.kill(crashing.machine.handle.pid, "SIGSEGV");
    expect((await crashing.machine.exited).kind).toBe("crashed");
  });

  test("a machine outlives the process that started it, and is adopted", async () => {
    const spec = makeSpec();
    const script = `
      import { createQemuDriver } from "#vmm/qemu/driver.ts";
      const machine = await createQemuDriver().boot(JSON.parse(process.argv[2]));
      console.log(JSON.stringify(machine.handle));
      await new Promise(() => setInterval(() => {}, 1000));
    `;
    const file = join(import.meta.dir, `.starter-${process.pid}.ts`);
    writeFileSync(file, script);
    try {
      const starter = Bun.spawn([process.execPath, file, JSON.stringify(spec)], {
        stdout: "pipe",
        stderr: "inherit",
      });
      const reader = starter.stdout.getReader();
      const handle = JSON.parse(new TextDecoder().decode((await reader.read()).value));
      starter.kill("SIGKILL");
      await starter.exited;
      const machine = await driver.adopt(handle);
      if (!machine) throw new Error("the machine is gone");
      machines.push(machine);
      const guest = new GuestLines(await machine.connectAgent());
      while ((await guest.ask("are you there")) !== "are you there");
      await machine.pause?.();
      await machine.resume?.();
      guest.send("panic");
      expect(await machine.exited).toMatchObject({ kind: "panic" });
      expect(remains(spec)).toEqual([]);
      expect(await driver.adopt(handle)).toBeUndefined();
    } finally {
      rmSync(file, { force: true });
    }
  });

  test("adopts after release, kills what it adopted, and knows a reused pid", async () => {
    const { machine } = await boot(makeSpec());
    const { handle } = machine;
    machine.release();
    machines.length = 0;
    const other: MachineHandle = { ...handle, startTime_ticks: handle.startTime_ticks + 1 };
    expect(await driver.adopt(other)).toBeUndefined();
    expect(await driver.adopt({ ...handle, runtimeDir: folder })).toBeUndefined();
    const adopted = await createQemuDriver().adopt(handle);
    if (!adopted) throw new Error("the machine is gone");
    const guest = new GuestLines(await adopted.connectAgent());
    expect(await guest.ask("still here")).toBe("still here");
    await adopted.kill();
    expect(await adopted.exited).toEqual({ kind: "killed" });
    expect(isGone(handle.pid)).toBe(true);
  });

  test("QEMU writes the same memory as is read from it, where that is not allowed", async () => {
    const { machine } = await boot(makeSpec({ memory_mib: 3200 }));
    machine.release();
    const { pid, runtimeDir } = machine.handle;
    const qmp = await openQmp(socketPaths(runtimeDir).qmp, { onEvent: () => {} });
    const scratch = scratchOf(machine.handle, (await jailKind()) === "namespaces");
    const digests: string[] = [];
    await qmp.execute("stop");
    for (const mayRead of [true, false]) {
      const path = join(folder, `memory-${mayRead}`);
      const copy = await MemoryCopy.begin(qmp, { pid, path, scratch });
      await copy.complete({ mayRead });
      // QEMU sees the firmware where the guest's memory behind it is, which nobody uses.
      const fd = openSync(path, "r+");
      writeSync(fd, new Uint8Array(0x20000), 0, 0x20000, 0xe0000);
      closeSync(fd);
      digests.push(await hashFile(path));
      expect(statSync(path)).toMatchObject({ size: 3200 * MiB, mode: 0o100600 });
      expect(statSync(path).blocks * 512).toBeLessThan(300 * MiB);
      rmSync(path);
    }
    qmp.close();
    await driver.killOrphan(runtimeDir);
    expect(digests[1]).toBe(digests[0] as string);
  });

  test("a boot that fails says why and leaves nothing", async () => {
    const disk = makeDisk("shared.img", 1 << 20);
    const missing = makeSpec({ drives: [{ path: join(folder, "none"), readOnly: true }] });
    expect((await bangerErrorOf(driver.boot(missing))).code).toBe("not_found");
    const badDrive = makeSpec({ drives: [{ path: folder, readOnly: true }] });
    expect((await bangerErrorOf(driver.boot(badDrive))).message).toMatch(/regular file|directory/);
    expect(remains(badDrive)).toEqual([]);
    const badKernel = makeSpec({ kernelPath: disk });
    expect((await bangerErrorOf(driver.boot(badKernel))).message).toContain("Cannot start");
    expect(remains(badKernel)).toEqual([]);
    const noTap = makeSpec({ network: { kind: "tap", tap: "bgr-none", mac: MAC } });
    expect((await bangerErrorOf(driver.boot(noTap))).message).toContain(
      'no such interface "bgr-none"',
    );
    await boot(makeSpec({ drives: [{ path: disk, readOnly: false }] }));
    const locked = makeSpec({ drives: [{ path: disk, readOnly: false }] });
    const conflict = await bangerErrorOf(driver.boot(locked));
    expect(conflict.code).toBe("conflict");
    expect(conflict.hint).toContain("in use by another process");
    expect(remains(locked)).toEqual([]);
  });

  test("a read-only drive serves several machines at once", async () => {
    const drives = [{ path: makeDisk("image.img", 1 << 20), readOnly: true }];
    const guests = [await boot(makeSpec({ drives })), await boot(makeSpec({ drives }))];
    for (const { guest } of guests) expect(await guest.ask("disks")).toBe("vda 2048 1");
  });

  test("boots the bzImage as well as the ELF file inside it", async () => {
    const root = join(folder, "package");
    const wanted = await resolveKernelPackage("linux-image-6.12-cloud-amd64", "amd64");
    const deb = await downloadPackage(wanted, folder, { cache: testCache() });
    await runOk(["dpkg-deb", "-x", deb, root]);
    const vmlinuz = readdirSync(join(root, "boot")).find((name) => name.startsWith("vmlinuz"));
    await boot(makeSpec({ kernelPath: join(root, "boot", vmlinuz ?? ""), memory_mib: 512 }));
  });

  test("a cancelled boot leaves nothing", async () => {
    const early = makeSpec();
    const failure = await bangerErrorOf(driver.boot(early, AbortSignal.abort()));
    expect(failure.code).toBe("cancelled");
    expect(remains(early)).toEqual([]);

    let cancelled = 0;
    for (const delay_ms of [0, 2, 5, 10, 20, 40]) {
      const spec = makeSpec();
      const booting = driver.boot(spec, AbortSignal.timeout(delay_ms));
      const machine = await booting.catch((error) => {
        expect(error).toMatchObject({ code: "cancelled" });
        cancelled++;
      });
      // A QEMU that was up before the signal came is not cancelled any more.
      await machine?.kill();
      expect(remains(spec)).toEqual([]);
    }
    expect(cancelled).toBeGreaterThan(0);
  });

  test("a missing or unfit QEMU is said with the package that mends it", async () => {
    const none = await bangerErrorOf(createQemuDriver({ program: "qemu-none" }).boot(makeSpec()));
    expect([none.code, none.hint]).toEqual(["unsupported", "sudo apt-get install qemu-system-x86"]);
    const unfit = await bangerErrorOf(createQemuDriver({ program: "true" }).boot(makeSpec()));
    expect(unfit.code).toBe("unsupported");
    const [check] = await createQemuDriver({ program: "qemu-none" }).checks();
    expect(check?.status).toBe("fail");
    const found = await driver.checks();
    expect(found.map(({ id, status }) => [id, status])).toContainEqual(["qemu", "ok"]);
  });
});
