/**
 * KVM for real, on every computer: banger in a machine of banger. The outer machine has the KVM of its host, or an
 * emulated one. With BANGER_TEST_FIRECRACKER (and BANGER_TEST_JAILER), paths of static programs, the same is tried with
 * Firecracker.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Vm } from "#api/vm.ts";
import { copyConformance } from "#test/inner-conformance.ts";
import { type Installation, install } from "#test/installation.ts";
import { startVirtualizationHost, type VirtualizationHost } from "#test/virtualization-host.ts";

/** A boot takes a minute where both the machine and its KVM are emulated. */
setDefaultTimeout(60 * 60_000);

const SMALL = "--net none --mode direct --cpus 1 --memory 128M --image bb";
/** Asks for the name of the inner kernel, and for what it has found below it. */
const PROBE = "uname -r; dmesg | grep -c 'Hypervisor detected: KVM'";
/** On a busy host a boot takes longer than the default allows. */
const PATIENT = '[vm]\nboot_timeout = "30m"\n';
const REMOVE_ALL = "banger vm list -q | xargs -r banger vm rm --force";
const firecracker = process.env["BANGER_TEST_FIRECRACKER"];
const jailer = process.env["BANGER_TEST_JAILER"];

let banger: Installation;
let host: VirtualizationHost;
let release = "";

beforeAll(async () => {
  banger = install();
  const programs = { ...(firecracker && { firecracker }), ...(jailer && { jailer }) };
  host = await startVirtualizationHost(banger, programs);
  await host.ok("banger kernel import k --from /srv/kernel && banger kernel default k");
  await host.ok("banger image pull oci:/srv/busybox --name bb --kernel-ref k");
  release = (JSON.parse(await host.ok("banger kernel show k --json")) as { version: string })
    .version;
});

afterAll(() => banger?.[Symbol.asyncDispose]());

test("doctor finds KVM, and says what runs with it", async () => {
  const { stdout } = await host.shell("banger doctor");
  expect(stdout).toMatch(/✓ KVM +KVM is usable/);
  expect(stdout).toMatch(firecracker ? /Firecracker +\S+firecracker/ : /QEMU, with KVM/);
});

const create = (vmm: string, name: string, more = "") =>
  host.ok(`banger vm create --progress plain --vmm ${vmm} ${SMALL} --name ${name} ${more} 2>&1`);
const exec = (name: string, script: string) =>
  host.ok(`banger vm exec ${name} -- sh -c '${script.replaceAll("'", "'\\''")}'`);
const show = async (name: string) =>
  JSON.parse(await host.ok(`banger vm show ${name} --json`)) as Vm;

interface Lane {
  vmm: "qemu" | "firecracker";
  title: string;
  jail: "off" | "jailer";
  /** As inside/conformance.ts calls it. */
  lane: string;
  isJailed: boolean;
}

const firecrackerLanes: Lane[] = [
  {
    vmm: "firecracker",
    title: "Firecracker",
    jail: "off",
    lane: "firecracker",
    isJailed: false,
  },
  {
    vmm: "firecracker",
    title: "Firecracker, jailed",
    jail: "jailer",
    lane: "firecracker jailed",
    isJailed: true,
  },
];
const lanes: Lane[] = [
  { vmm: "qemu", title: "QEMU", jail: "off", lane: "qemu", isJailed: true },
  ...firecrackerLanes.slice(0, firecracker ? (jailer ? 2 : 1) : 0),
];

describe.each(lanes)("machines on $title", ({ vmm, jail, isJailed }) => {
  beforeAll(async () => {
    await host.ok("banger daemon stop; mkdir -p ~/.config/banger");
    const settings = `firecracker_jailer = "${jail}"\n${PATIENT}`;
    await host.ok(`printf '%s' '${settings}' >~/.config/banger/config.toml`);
  });
  afterAll(() => host.ok(REMOVE_ALL));

  test("the main job", async () => {
    await create(vmm, "a");
    expect(await exec("a", PROBE)).toBe(`${release}\n1\n`);
    const uid = await host.ok(`stat -c %u /proc/${(await show("a")).vmm?.pid}`);
    expect(uid !== "0\n").toBe(isJailed);
    expect(await host.ok("banger vm ssh a -- cat /etc/hostname")).toBe("a\n");
    await exec("a", "echo kept >/kept; sync");
    await host.ok("banger vm stop a");
    await host.ok("banger vm start a");
    expect(await exec("a", "cat /kept")).toBe("kept\n");
  });

  test("a second machine is restored, and has a life of its own", async () => {
    expect(await create(vmm, "b")).toContain("Restoring b");
    expect(await exec("b", "hostname; ls /kept 2>/dev/null; true")).toBe("b\n");
    expect((await show("b")).vmm).toMatchObject({ driver: vmm, accelerator: "kvm" });
  });

  test("suspended and woken, its memory is there", async () => {
    await exec("b", "mkdir -p /dev/shm; echo memory >/dev/shm/note");
    await host.ok("banger vm suspend b");
    await host.ok("banger vm start b");
    expect(await exec("b", "cat /dev/shm/note")).toBe("memory\n");
  });

  test("a fork goes on from there", async () => {
    await host.ok("banger vm fork b --name c");
    expect(await exec("c", "hostname; cat /dev/shm/note")).toBe("c\nmemory\n");
    expect(await exec("b", "cat /dev/shm/note")).toBe("memory\n");
  });

  test("a network with NAT", async () => {
    await host.ok(REMOVE_ALL);
    await host.ok(`banger vm create --vmm ${vmm} ${SMALL.replace("none", "nat")} --name n`);
    expect(
      await exec("n", "ping -c 1 -W 60 $(ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p')"),
    ).toContain("1 packets received");
  });
});

describe("ordinary users", () => {
  test("of group kvm run machines with KVM", async () => {
    await host.ok(`${REMOVE_ALL}; banger daemon stop`);
    const config = "/home/ann/.config/banger";
    await host.ok(
      `su - ann -c 'mkdir -p ${config}'; printf '%s' '${PATIENT}' >${config}/config.toml`,
    );
    const steps = [
      "banger kernel import k --from /srv/kernel",
      "banger image pull oci:/srv/busybox --name bb --kernel-ref k",
      `banger vm run --net none --cpus 1 --memory 128M bb -- sh -c "${PROBE}"`,
    ];
    expect(await host.ok(`su - ann -c '${steps.join(" >&2 && ").replaceAll("'", "'\\''")}'`)).toBe(
      `${release}\n1\n`,
    );
  });

  test("with NAT too, once root has set it up", async () => {
    await host.ok("banger setup --user ann");
    const run = "banger vm run --net nat --cpus 1 --memory 128M bb -- ip -4 addr show eth0";
    expect(await host.ok(`su - ann -c '${run}'`)).toContain("inet 10.");
    await host.ok("su - ann -c 'banger daemon stop'");
  });

  test("without rights are told the group", async () => {
    const { stdout } = await host.shell("su - bob -c 'banger doctor --json || banger doctor'");
    expect(stdout).toContain('permission denied: /dev/kvm belongs to group \\"kvm\\"');
    expect(stdout).toContain("usermod -aG kvm");
    const refused = await host.shell("su - bob -c 'banger vm run --vmm firecracker bb true'");
    expect(refused.status).not.toBe(0);
  });
});

describe("the driver contract", () => {
  let commandsOf: (lane: string) => string[];

  beforeAll(async () => {
    commandsOf = await copyConformance(banger, host);
  });

  test.each(lanes)("with KVM on $title", async ({ lane }) => {
    for (const command of commandsOf(lane)) {
      const { status, stdout } = await host.shell(command);
      console.log(stdout);
      expect(stdout).toMatch(/^ [1-9]\d* pass$/m);
      expect(status).toBe(0);
    }
  });
});

/** Last, since it boots the host again. */
describe("memory that was saved on another processor", () => {
  const vmms = [...new Set(lanes.map(({ vmm }) => vmm))];

  /** One that no program here needs. */
  const FEATURE = "adx";
  const count = () => host.ok(`grep -cw ${FEATURE} /proc/cpuinfo || true`);

  test("is not restored", async () => {
    expect(await count()).toBe("1\n");
    await host.ok(`${REMOVE_ALL}; banger image gc --all`);
    for (const vmm of vmms) {
      const [kept, copied] = [`${vmm}-kept`, `${vmm}-copied`];
      await create(vmm, kept);
      await create(vmm, copied);
      for (const name of [kept, copied]) {
        await exec(name, "mkdir -p /dev/shm; echo memory >/dev/shm/note; echo disk >/note; sync");
      }
      await host.ok(`banger vm snapshot create ${copied} ${vmm}-saved`);
      await host.ok(`banger vm rm --force ${copied}`);
      await host.ok(`banger vm suspend ${kept}`);
    }
    await host.reboot(FEATURE);
    expect(await count()).toBe("0\n");
    for (const vmm of vmms) {
      expect(await create(vmm, `${vmm}-new`)).toContain("Booting");
      const copy = await host.ok(
        `banger vm create --progress plain --snapshot ${vmm}-saved --name ${vmm}-other 2>&1`,
      );
      expect(copy).toContain("or the host's processor is another one now");
      const woken = await host.ok(`banger vm start --progress plain ${vmm}-kept 2>&1`);
      expect(woken).toContain("or the host's processor has changed");
      for (const name of [`${vmm}-other`, `${vmm}-kept`]) {
        expect(await exec(name, "cat /note; cat /dev/shm/note 2>/dev/null; true")).toBe("disk\n");
      }
    }
  });

  test("is restored on the first one again", async () => {
    await host.ok(REMOVE_ALL);
    await host.reboot();
    for (const vmm of vmms) {
      await host.ok(`banger vm create --snapshot ${vmm}-saved --name ${vmm}-again`);
      expect(await exec(`${vmm}-again`, "cat /note /dev/shm/note")).toBe("disk\nmemory\n");
      expect(await create(vmm, `${vmm}-more`)).not.toContain("Booting");
      await host.ok(REMOVE_ALL);
    }
  });
});
