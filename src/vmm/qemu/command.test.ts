import { describe, expect, test } from "bun:test";
import type { BootSpec } from "#vmm/driver.ts";
import { type CommandOptions, kernelCommandLine, qemuArguments } from "./command.ts";

const spec: BootSpec = {
  id: "web",
  runtimeDir: "/run/banger/web",
  consolePath: "/state/console",
  logPath: "/state/log",
  cpus: 2,
  memory_mib: 512,
  kernelPath: "/kernels/k/vmlinux",
  initrdPath: "/state/initrd",
  kernelArgs: ["rdinit=/init"],
  drives: [
    { path: "/images/root.ext4", readOnly: true },
    { path: "/state/a,b=c.img", readOnly: false },
  ],
  network: { kind: "tap", tap: "bgr0", mac: "52:54:00:00:00:01" },
};
const tcg: CommandOptions = {
  accelerator: "tcg",
  version: "8.0.0",
  sandbox: true,
  tsc_khz: 2_596_144,
};

/** The values that follow each occurrence of an option. */
function valuesOf(argv: readonly string[], name: string): string[] {
  return argv.flatMap((argument, index) => (argument === name ? [argv[index + 1] ?? ""] : []));
}

describe("qemuArguments", () => {
  test("describes the whole machine", () => {
    const argv = qemuArguments(spec, tcg);
    expect(valuesOf(argv, "-M")).toEqual(["microvm,dump-guest-core=off"]);
    expect(valuesOf(argv, "-accel")).toEqual(["tcg,thread=single"]);
    expect(valuesOf(argv, "-cpu")).toEqual(["max,-erms"]);
    expect(valuesOf(argv, "-smp")).toEqual(["2"]);
    expect(valuesOf(argv, "-m")).toEqual(["512M"]);
    expect(valuesOf(argv, "-sandbox")[0]).toContain("spawn=deny");
    expect(valuesOf(argv, "-mon")).toEqual(["chardev=qmp,mode=control"]);
    expect(valuesOf(argv, "-chardev")).toEqual([
      "file,id=console,path=/state/console,append=on",
      "socket,id=qmp,path=/run/banger/web/qmp.sock,server=on,wait=off",
      "socket,id=agent,path=/run/banger/web/agent.sock,server=on,wait=off",
      "socket,id=goodbye,path=/run/banger/web/goodbye.sock,server=on,wait=off",
    ]);
    expect(valuesOf(argv, "-device")).toEqual([
      "virtio-rng-device",
      "virtio-serial-device,id=serial",
      "virtserialport,bus=serial.0,chardev=agent,name=org.banger.agent",
      "virtserialport,bus=serial.0,chardev=goodbye,name=org.banger.goodbye",
      "virtio-blk-device,drive=disk0",
      "virtio-blk-device,drive=disk1",
      "virtio-net-device,netdev=net,mac=52:54:00:00:00:01,guest_announce=off",
    ]);
    for (const flag of ["-no-reboot", "-nodefaults", "-no-user-config"])
      expect(argv).toContain(flag);
  });

  test("what is handed over is opened by no path", () => {
    const handed = { qmp: 4, agent: 5, goodbye: 6, console: 7, drives: [8, 9], tap: 10 };
    const argv = qemuArguments(spec, { ...tcg, handed });
    expect(valuesOf(argv, "-chardev")).toEqual([
      "file,id=console,path=/dev/fdset/7,append=on",
      "socket,id=qmp,fd=4,server=on,wait=off",
      "socket,id=agent,fd=5,server=on,wait=off",
      "socket,id=goodbye,fd=6,server=on,wait=off",
    ]);
    expect(valuesOf(argv, "-add-fd")).toEqual(["fd=7,set=7", "fd=8,set=8", "fd=9,set=9"]);
    const [root, own] = valuesOf(argv, "-blockdev");
    expect(root).toContain("file.filename=/dev/fdset/8,");
    expect(own).toContain("file.filename=/dev/fdset/9,");
    expect(valuesOf(argv, "-netdev")).toEqual(["tap,id=net,fd=10"]);
    expect(argv.join(" ")).not.toMatch(/\/state\/(console|a)|\.sock|bgr0/);
  });

  test("the memory of a snapshot is opened for reading alone where QEMU can", () => {
    const memoryOf = (version: string) =>
      valuesOf(qemuArguments(spec, { ...tcg, version, restoredMemory: "/memory" }), "-object")[0];
    expect(memoryOf("8.1.5")).toBe(
      "memory-backend-file,id=memory,size=512M,mem-path=/memory,share=off",
    );
    for (const version of ["8.2.0", "10.0.3"]) {
      expect(memoryOf(version)).toEndWith(",share=off,readonly=on,rom=off");
    }
  });

  test("drives keep their order, their mode, and commas in their paths", () => {
    const [root, own] = valuesOf(qemuArguments(spec, tcg), "-blockdev");
    expect(root).toContain("read-only=on");
    expect(root).toContain("file.filename=/images/root.ext4,");
    expect(root).not.toContain("discard");
    expect(own).toContain("read-only=off,discard=unmap");
    expect(own).toContain("file.filename=/state/a,,b=c.img,");
  });

  test("networks: a tap without scripts, QEMU's own stack, none", () => {
    const netdev = (network: BootSpec["network"]) =>
      valuesOf(qemuArguments({ ...spec, network }, tcg), "-netdev");
    expect(netdev(spec.network)).toEqual(["tap,id=net,ifname=bgr0,script=no,downscript=no"]);
    const user = { kind: "user", mac: "52:54:00:00:00:01" } as const;
    expect(netdev(user)[0]).toStartWith("user,id=net");
    const cabled = qemuArguments({ ...spec, network: user }, { ...tcg, cableFd: 3 });
    expect(cabled).toContain("stream,id=net,server=off,addr.type=fd,addr.str=3");
    expect(netdev(undefined)).toEqual([]);
  });

  test("shares are read-only on the host, whatever the guest does, and come last", () => {
    const shares = [
      { path: "/home/a,b", readOnly: false },
      { path: "/srv", readOnly: true },
    ];
    const argv = qemuArguments({ ...spec, shares }, tcg);
    expect(valuesOf(argv, "-fsdev")).toEqual([
      "local,id=share0,path=/home/a,,b,security_model=none,multidevs=remap,readonly=off",
      "local,id=share1,path=/srv,security_model=none,multidevs=remap,readonly=on",
    ]);
    expect(valuesOf(argv, "-device").slice(-2)).toEqual([
      "virtio-9p-device,fsdev=share0,mount_tag=share0",
      "virtio-9p-device,fsdev=share1,mount_tag=share1",
    ]);
  });
  test("with KVM takes the host's CPU and leaves the clock alone", () => {
    const argv = qemuArguments(spec, {
      accelerator: "kvm",
      version: "7.2.22",
      sandbox: false,
      tsc_khz: 1,
    });
    expect(valuesOf(argv, "-accel")).toEqual(["kvm"]);
    expect(valuesOf(argv, "-cpu")).toEqual(["host"]);
    expect(argv).not.toContain("-sandbox");
    expect(valuesOf(argv, "-append")[0]).not.toMatch(/tsc|clearcpuid/);
  });
});

test("the caller's kernel parameters come last, where they win", () => {
  const line = kernelCommandLine({ ...spec, kernelArgs: ["panic=5", "a=b"] }, tcg);
  expect(line).toContain("tsc_early_khz=2596144 tsc=reliable ");
  expect(line.endsWith(" panic=5 a=b")).toBe(true);
  expect(line.split(" ")).toContain("panic=-1");
});

test("an unknown clock rate still gets a value: without one a boot may hang", () => {
  const line = kernelCommandLine(spec, { ...tcg, tsc_khz: undefined });
  expect(line).toMatch(/tsc_early_khz=\d{6,}/);
  expect(line).not.toContain("tsc=reliable");
});

test("a kernel is kept from cmpxchg16b where QEMU emulates it wrongly", () => {
  expect(kernelCommandLine(spec, { ...tcg, version: "7.2.22" })).toContain(" clearcpuid=141 ");
  expect(kernelCommandLine(spec, { ...tcg, version: "10.0.13" })).not.toContain("clearcpuid");
});
