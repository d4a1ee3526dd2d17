/**
 * The conformance suite that every VMM driver must pass. The guest is guest-init.c or something that speaks its
 * protocol. A case that a driver's features exclude does not run; anything else that prevents the suite prints why it
 * is skipped.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { sha256 } from "#base/digest.ts";
import { argumentsOf } from "#base/process-identity.ts";
import { MiB } from "#base/size.ts";
import type { BootSpec, Driver, Machine, Snapshot } from "#vmm/driver.ts";
import { bangerErrorOf } from "./expect-error.ts";
import { startReaper } from "./reaper.ts";
import { GuestLines, isGone } from "./tiny-guest.ts";

export interface Bench {
  driver: Driver;
  /** What the guest boots from. */
  kernelPath: string;
  initrdPath: string;
  /** The guest's kernel has neither /dev/mem nor a keyboard: what needs them is left out. */
  isSmall?: boolean;
}

/** Matches the names of the tests of which something is left out with a small kernel. */
export const CUT_SHORT = "after its snapshot|where there is a keyboard";

/** Declares the suite. `skip`: why it cannot run here. `setUp` gets a folder that is removed after. */
export function testConformance(
  name: string,
  setUp: (folder: string) => Promise<Bench>,
  skip?: string,
): void {
  if (skip !== undefined) {
    test.skip(`${name} conforms to the driver contract [needs ${skip}]`, () => {});
    return;
  }
  describe(`${name} conforms to the driver contract`, () => {
    const lab = new Lab();
    beforeAll(async () => lab.open(setUp));
    afterEach(() => lab.killAll());
    afterAll(() => lab.close());
    boots(lab);
    ends(lab);
    survives(lab);
    fails(lab);
  });
}

/** Folder, machines and bench of one run. */
class Lab {
  #bench: Bench | undefined;
  #folder = "";
  #counter = 0;
  readonly #machines = new Set<Machine>();

  async open(setUp: (folder: string) => Promise<Bench>): Promise<void> {
    this.#folder = mkdtempSync("/tmp/banger-vmm-");
    startReaper(this.#folder);
    this.#bench = await setUp(this.#folder);
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  get folder(): string {
    return this.#folder;
  }

  get bench(): Bench {
    if (!this.#bench) throw new Error("the bench is not set up");
    return this.#bench;
  }

  spec(changes: Partial<BootSpec> = {}): BootSpec {
    const runtimeDir = join(this.#folder, `run-${this.#counter++}`);
    mkdirSync(runtimeDir, { mode: 0o700 });
    return {
      id: `conform-${this.#counter}`,
      runtimeDir,
      consolePath: `${runtimeDir}.console`,
      logPath: `${runtimeDir}.log`,
      cpus: 1,
      memory_mib: 192,
      kernelPath: this.bench.kernelPath,
      initrdPath: this.bench.initrdPath,
      kernelArgs: ["banger.test=1"],
      drives: [],
      network: undefined,
      ...changes,
    };
  }

  /** An ELF file with one segment, which takes 4 GiB of memory. */
  hugeKernel(): string {
    const bytes = Buffer.alloc(64 + 56);
    bytes.write("\x7fELF\x02\x01", "latin1");
    bytes.writeBigUInt64LE(64n, 32);
    bytes.writeUInt16LE(1, 56);
    bytes.writeUInt32LE(1, 64);
    bytes.writeBigUInt64LE(1n << 32n, 64 + 40);
    const path = join(this.#folder, "huge-vmlinux");
    writeFileSync(path, bytes);
    return path;
  }

  async boot(spec: BootSpec): Promise<{ machine: Machine; guest: GuestLines }> {
    const machine = await this.bench.driver.boot(spec);
    this.#machines.add(machine);
    return { machine, guest: await this.greet(machine) };
  }

  async greet(machine: Machine): Promise<GuestLines> {
    const guest = new GuestLines(await machine.connectAgent());
    expect(await guest.next()).toBe("hello");
    return guest;
  }

  /** With a copy of its disk. The machine is left paused. */
  async snapshot(machine: Machine, disk: string): Promise<Snapshot & { diskPath: string }> {
    const name = join(this.#folder, `snapshot-${this.#counter++}`);
    const files = { memoryPath: `${name}.memory`, statePath: `${name}.state` };
    await machine.snapshot?.(files);
    copyFileSync(disk, `${name}.disk`);
    expect(
      readdirSync(this.#folder)
        .filter((each) => each.startsWith(basename(name)))
        .sort(),
    ).toEqual(["disk", "memory", "state"].map((each) => `${basename(name)}.${each}`));
    return { ...files, diskPath: `${name}.disk` };
  }

  /** With a disk of its own, which is a copy. */
  async restore(snapshot: Snapshot & { diskPath: string }) {
    const disk = join(this.#folder, `restored-${this.#counter}.disk`);
    copyFileSync(snapshot.diskPath, disk);
    const spec = this.spec({ drives: [{ path: disk, readOnly: false }] });
    const machine = this.keep(await this.bench.driver.restore?.(spec, snapshot));
    return { machine, guest: await this.meetAgain(machine), disk, spec };
  }

  /** After a snapshot and a restore. A guest with vsock has lost its streams, and greets each new one. */
  async meetAgain(machine: Machine): Promise<GuestLines> {
    if (this.bench.driver.features.vsock) return await this.greet(machine);
    return new GuestLines(await machine.connectAgent());
  }

  letGo(machine: Machine): void {
    machine.release();
    this.#machines.delete(machine);
  }

  keep(machine: Machine | undefined): Machine {
    if (!machine) throw new Error("the machine is gone");
    this.#machines.add(machine);
    return machine;
  }

  async killAll(): Promise<void> {
    for (const machine of this.#machines) await machine.kill();
    this.#machines.clear();
  }

  /** Everything that a machine has outside its logs; its processes name the runtime folder. */
  remains({ runtimeDir }: BootSpec): string[] {
    const files = existsSync(runtimeDir) ? readdirSync(runtimeDir) : [];
    const processes = readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
      .filter((pid) => argumentsOf(Number(pid)).some((text) => text.includes(`${runtimeDir}/`)));
    return [...files, ...processes.map((pid) => `pid ${pid}`)];
  }
}

function boots(lab: Lab): void {
  test("its features are values, and methods are there when they are true", async () => {
    const { machine, guest } = await lab.boot(lab.spec());
    const { pause } = lab.bench.driver.features;
    expect([typeof machine.pause, typeof machine.resume]).toEqual(
      pause ? ["function", "function"] : ["undefined", "undefined"],
    );
    if (!machine.pause) return;
    await machine.pause();
    let isResumed = false;
    const answer = guest.ask("while paused").then((line) => ({ line, isResumed }));
    await sleep(200);
    isResumed = true;
    await machine.resume?.();
    expect(await answer).toEqual({ line: "while paused", isResumed: true });
  });

  test("the guest gets the caller's kernel parameters and speaks over one agent stream", async () => {
    const { guest, machine } = await lab.boot(lab.spec());
    expect(await guest.ask("cmdline")).toContain("banger.test=1");
    for (const text of ["äöü 123", "x".repeat(2000)]) expect(await guest.ask(text)).toBe(text);
    const { handle } = machine;
    expect(JSON.parse(JSON.stringify(handle))).toEqual(handle);
    expect(handle.driver).toBe(lab.bench.driver.name);
    const second = new GuestLines(await machine.connectAgent());
    await expect(guest.next()).rejects.toThrow("ended");
    // A line may be lost while the port changes hands: the agent's protocol asks again as well.
    const ask = (): void => second.send("again");
    ask();
    const asking = setInterval(ask, 1000);
    try {
      while ((await second.next()) !== "again");
    } finally {
      clearInterval(asking);
    }
  });

  test("a machine goes on after its snapshot, and is restored beside it, as often as one likes", async () => {
    if (!lab.bench.driver.features.snapshot) return;
    const disk = join(lab.folder, "snapshot.disk");
    writeFileSync(disk, Buffer.alloc(MiB));
    const { machine, guest: before } = await lab.boot(
      lab.spec({ drives: [{ path: disk, readOnly: false }] }),
    );
    expect(await before.ask("set first")).toBe("set");
    const first = await lab.snapshot(machine, disk);
    await machine.resume?.();
    const guest = lab.bench.driver.features.vsock ? await lab.meetAgain(machine) : before;
    expect(await guest.ask("set later")).toBe("set");
    const key = await lab.bench.driver.snapshotKey?.();
    expect(key).toBe((await lab.bench.driver.snapshotKey?.()) ?? "none");
    const digests = digestsOf(first);
    const copy = await lab.restore(first);
    expect(await copy.guest.ask("get")).toBe("first");
    const firmware = await guest.ask("firmware");
    expect(await copy.guest.ask("firmware")).toBe(firmware);
    // Firecracker has none.
    const hasFirmware = lab.bench.driver.name === "qemu" && !lab.bench.isSmall;
    if (hasFirmware) expect(Number(firmware)).toBeGreaterThan(0);
    expect(await copy.guest.ask("set copy")).toBe("set");
    // A copy's memory is a private mapping of the snapshot's, part of which it has written to.
    const second = await lab.snapshot(copy.machine, copy.disk);
    await copy.machine.kill();
    expect(digestsOf(first)).toEqual(digests);
    for (const path of Object.values(first)) rmSync(path);
    const again = await lab.restore(second);
    expect(await again.guest.ask("get")).toBe("copy");
    expect(await again.guest.ask("disks")).toContain("vda");
    lab.letGo(again.machine);
    const adopted = lab.keep(await lab.bench.driver.adopt(again.machine.handle));
    const third = await lab.snapshot(adopted, again.disk);
    expect(await guest.ask("get")).toBe("later");
    for (const path of Object.values(second)) rmSync(path);
    const last = await lab.restore(third);
    expect(await last.guest.ask("get")).toBe("copy");
    last.guest.send("poweroff");
    expect(await last.machine.exited).toEqual({ kind: "poweroff" });
    expect(lab.remains(last.spec)).toEqual([]);
    expect(await guest.ask("still here")).toBe("still here");
    truncateSync(third.statePath, 1000);
    const own = lab.spec({ drives: [{ path: third.diskPath, readOnly: false }] });
    const restoring = Promise.resolve(lab.bench.driver.restore?.(own, third));
    expect((await bangerErrorOf(restoring)).message).toMatch(/^Cannot restore/);
    expect(lab.remains(own)).toEqual([]);
  });
}

function digestsOf(files: object): string[] {
  return Object.values(files).map((path) => sha256(readFileSync(path)));
}

function ends(lab: Lab): void {
  test("the guest's own end is told, the console appended to, and nothing left", async () => {
    for (const kind of ["poweroff", "reboot"] as const) {
      const spec = lab.spec();
      await Bun.write(spec.consolePath, "from before\n");
      const { machine, guest } = await lab.boot(spec);
      guest.send(kind);
      expect(await machine.exited).toEqual({ kind });
      expect(readFileSync(spec.consolePath, "utf8")).toStartWith("from before\n");
      expect(isGone(machine.handle.pid)).toBe(true);
      expect(lab.remains(spec)).toEqual([]);
      expect((await bangerErrorOf(machine.connectAgent())).code).toBe("invalid_state");
      await machine.kill();
    }
  });

  test("a panic and a reset out of the blue are no orderly ends", async () => {
    const panicking = await lab.boot(lab.spec());
    panicking.guest.send("panic");
    expect(await panicking.machine.exited).toEqual({
      kind: "panic",
      detail: expect.stringContaining("Attempted to kill init"),
    });
    const reset = await lab.boot(lab.spec());
    reset.guest.send("reset");
    expect((await reset.machine.exited).kind).toBe("crashed");
  });

  test("a guest hears the keys by which it reboots, where there is a keyboard", async () => {
    const { machine } = await lab.boot(lab.spec());
    if (!machine.sendCtrlAltDel || lab.bench.isSmall) return;
    await machine.sendCtrlAltDel();
    expect(await machine.exited).toEqual({ kind: "reboot" });
  });

  test("kill ends it at once, also twice", async () => {
    const spec = lab.spec();
    const { machine } = await lab.boot(spec);
    await Promise.all([machine.kill(), machine.kill()]);
    expect(await machine.exited).toEqual({ kind: "killed" });
    expect(lab.remains(spec)).toEqual([]);
  });

  test("a signal from others is an end, a failure a crash", async () => {
    const ended = await lab.boot(lab.spec());
    process.kill(ended.machine.handle.pid, "SIGTERM");
    expect(await ended.machine.exited).toEqual({ kind: "killed" });
    const crashed = await lab.boot(lab.spec());
    process.kill(crashed.machine.handle.pid, "SIGABRT");
    expect((await crashed.machine.exited).kind).toBe("crashed");
  });
}

function survives(lab: Lab): void {
  test("is adopted after it was let go, once it is sure which process it is", async () => {
    const spec = lab.spec();
    const { machine } = await lab.boot(spec);
    const { handle } = machine;
    lab.letGo(machine);
    const { driver } = lab.bench;
    const reused = { ...handle, startTime_ticks: handle.startTime_ticks + 1 };
    expect(await driver.adopt(reused)).toBeUndefined();
    expect(await driver.adopt({ ...handle, runtimeDir: "/nowhere" })).toBeUndefined();
    const other = driver.name === "qemu" ? "firecracker" : "qemu";
    expect(await driver.adopt({ ...handle, driver: other })).toBeUndefined();
    const adopted = lab.keep(await driver.adopt(handle));
    const guest = new GuestLines(await adopted.connectAgent());
    while ((await guest.ask("are you there")) !== "are you there");
    await adopted.pause?.();
    await adopted.resume?.();
    guest.send("reboot");
    expect(await adopted.exited).toEqual({ kind: "reboot" });
    expect(lab.remains(spec)).toEqual([]);
    expect(await driver.adopt(handle)).toBeUndefined();
  });

  test("its reset is a crash after it was adopted as well", async () => {
    const { machine } = await lab.boot(lab.spec());
    lab.letGo(machine);
    const adopted = lab.keep(await lab.bench.driver.adopt(machine.handle));
    const guest = new GuestLines(await adopted.connectAgent());
    while ((await guest.ask("are you there")) !== "are you there");
    guest.send("reset");
    expect((await adopted.exited).kind).toBe("crashed");
  });

  test("is found and ended when its handle was lost", async () => {
    const spec = lab.spec();
    const { machine } = await lab.boot(spec);
    lab.letGo(machine);
    expect(await lab.bench.driver.killOrphan(spec.runtimeDir)).toBe(true);
    expect(isGone(machine.handle.pid)).toBe(true);
    expect(lab.remains(spec)).toEqual([]);
    expect(await lab.bench.driver.killOrphan(spec.runtimeDir)).toBe(false);
  });
}

function fails(lab: Lab): void {
  test("what it cannot boot is refused with a reason, and leaves nothing", async () => {
    const { driver } = lab.bench;
    const huge = lab.hugeKernel();
    const broken: [Partial<BootSpec>, string][] = [
      [{ drives: [{ path: "/nowhere/disk", readOnly: true }] }, "not_found"],
      [{ initrdPath: "/nowhere/initrd" }, "not_found"],
      [{ kernelPath: "/nowhere/kernel" }, "not_found"],
      [{ id: "../x" }, "invalid_argument"],
      [{ cpus: 0 }, "invalid_argument"],
      [{ kernelPath: huge }, "limit_exceeded"],
    ];
    for (const [changes, code] of broken) {
      const spec = lab.spec(changes);
      expect((await bangerErrorOf(driver.boot(spec))).code).toBe(code as never);
      expect(lab.remains(spec)).toEqual([]);
    }
    const network = { kind: "user", mac: "52:54:00:12:34:56" } as const;
    if (!driver.features.userNetwork) {
      const failure = await bangerErrorOf(driver.boot(lab.spec({ network })));
      expect(failure.code).toBe("unsupported");
    }
  });

  test("a cancelled boot leaves nothing", async () => {
    for (const delay_ms of [0, 5, 40]) {
      const spec = lab.spec();
      const signal = AbortSignal.timeout(delay_ms);
      const started = await lab.bench.driver.boot(spec, signal).catch((error) => error);
      // A boot that was quicker than the signal is a machine like any other.
      if (started instanceof Error) expect(started).toMatchObject({ code: "cancelled" });
      else await lab.keep(started).kill();
      expect(lab.remains(spec)).toEqual([]);
    }
  });

  test("doctor gets checks with stable names", async () => {
    const checks = await lab.bench.driver.checks();
    expect(checks.map(({ id }) => id)).toContain(lab.bench.driver.name);
  });
}
