/**
 * guest/boot/first-boot.sh as PID 1 of a root of busybox, for every family of distributions. Package
 * managers, systemd and the agent are scripts that write down how they were called; real package managers
 * are in first-boot-managers.test.ts.
 */
import { expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { run } from "#base/run.ts";
import {
  APT_CALLS,
  boot,
  INSTALL,
  osRelease,
  program,
  root,
  SCRIPT,
  SYSTEMD,
  useRoots,
  withoutAgent,
} from "#test/first-boot-root.ts";
import { testNeeding } from "#test/needs.ts";

const hostTest = testNeeding("root", "unshare", "chroot");

useRoots();

const FEDORA_PACKAGES = "systemd systemd-udev dbus openssh-server iproute";
const dnfCalls = (name: string) => [
  `${name} -y --setopt=install_weak_deps=0 install ${FEDORA_PACKAGES}`,
  `${name} clean all`,
];

const families: { name: string; os: string; manager: string; calls: string[] }[] = [
  { name: "Debian", os: "ID=debian\n", manager: "apt-get", calls: APT_CALLS },
  { name: "Ubuntu", os: 'ID=ubuntu\nID_LIKE="debian"\n', manager: "apt-get", calls: APT_CALLS },
  {
    name: "Fedora with dnf",
    os: "ID=fedora\n",
    manager: "dnf",
    calls: dnfCalls("dnf"),
  },
  {
    name: "a minimal Fedora with microdnf",
    os: "ID=fedora\n",
    manager: "microdnf",
    calls: dnfCalls("microdnf"),
  },
  {
    name: "Amazon Linux",
    os: 'NAME="Amazon Linux"\nID="amzn"\n',
    manager: "dnf",
    calls: dnfCalls("dnf"),
  },
  {
    name: "Photon with tdnf",
    os: 'NAME="VMware Photon OS"\nID=photon\n',
    manager: "tdnf",
    calls: ["tdnf -y install systemd dbus openssh-server iproute2", "tdnf clean all"],
  },
  {
    name: "Rocky, by what it is like",
    os: 'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\n',
    manager: "dnf",
    calls: dnfCalls("dnf"),
  },
  {
    name: "Arch",
    os: "ID=arch\n",
    manager: "pacman",
    calls: ["pacman -Syu --noconfirm --needed systemd-sysvcompat dbus openssh iproute2"],
  },
  {
    name: "openSUSE",
    os: 'ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"\n',
    manager: "zypper",
    calls: [
      "zypper --non-interactive --gpg-auto-import-keys refresh",
      "zypper --non-interactive install --no-recommends systemd udev dbus-1 openssh iproute2",
      "zypper clean --all",
    ],
  },
  {
    name: "a distribution of tomorrow, like Debian",
    os: "# comment\nID=tomorrow\nID_LIKE='something debian'\n",
    manager: "apt-get",
    calls: APT_CALLS,
  },
];

for (const family of families) {
  hostTest(`${family.name}: installs with its own manager and becomes systemd`, async () => {
    osRelease(family.os);
    program(`usr/bin/${family.manager}`, INSTALL);
    const { calls, output } = await boot();
    expect([...withoutAgent(calls), output]).toEqual([
      ...family.calls,
      "systemd as 1",
      expect.stringContaining("banger: "),
    ]);
    expect(calls).toContain("agent notify starting systemd");
    expect(calls.find((call) => call.startsWith("agent notify installing"))).toBeDefined();
    expect(existsSync(join(root, "var/lib/banger"))).toBe(false);
    expect(existsSync(join(root, "usr/sbin/policy-rc.d"))).toBe(false);
  });
}

hostTest("Alpine gets OpenRC, is told so, and is ready at once", async () => {
  osRelease("ID=alpine\n");
  writeFileSync(join(root, "etc/inittab"), "::sysinit:/sbin/openrc sysinit\ntty1::respawn:getty\n");
  const init = `printf '#!/bin/sh\\necho "init as $$" >>/calls\\n' >/sbin/init`;
  program("usr/bin/apk", `touch /sbin/openrc; ${init}; chmod 755 /sbin/openrc /sbin/init`);
  program("usr/bin/rc-update");
  const { calls, output } = await boot();
  expect(withoutAgent(calls)).toEqual([
    "apk add --no-cache alpine-base openssh",
    "rc-update add sshd default",
    "init as 1",
  ]);
  expect(output).toContain("Installing OpenRC and openssh");
  expect(calls).toContain("agent notify ready openrc");
  expect(readFileSync(join(root, "etc/inittab"), "utf8")).toContain("#tty1");
});

hostTest("a systemd that is there is run at once", async () => {
  osRelease("ID=debian\n");
  program("usr/bin/apt-get", INSTALL);
  program("lib/systemd/systemd", SYSTEMD);
  const { calls } = await boot();
  expect(withoutAgent(calls)).toEqual(["systemd ", "systemd as 1"]);
});

hostTest(
  "services do not start while they are installed, and systemd is not taken for running",
  async () => {
    osRelease("ID=debian\n");
    program(
      "usr/bin/apt-get",
      `${INSTALL}
/usr/sbin/policy-rc.d; echo "policy $?, offline \${SYSTEMD_OFFLINE-}" >>/calls
[ ! -d /run/systemd/system ] || echo "systemd seems to run" >>/calls`,
    );
    const { calls } = await boot();
    expect(calls).toContain("policy 101, offline 1");
    expect(calls).not.toContain("systemd seems to run");
  },
);

hostTest(
  "the agent's units are back when systemd starts, and the ssh server takes keys",
  async () => {
    osRelease("ID=debian\n");
    const systemd = "ls /run/systemd/system >>/calls";
    program(
      "usr/bin/apt-get",
      `mkdir -p /usr/lib/systemd/system /etc/ssh/sshd_config.d /usr/sbin
touch /usr/lib/systemd/system/ssh.service /usr/lib/systemd/system/sshd.service
printf '#!/bin/sh\\n%s\\n' '${systemd}' >/usr/lib/systemd/systemd
printf '#!/bin/sh\\necho made >/etc/ssh/ssh_host_ed25519_key\\n' >/usr/bin/ssh-keygen
printf '#!/bin/sh\\n' >/usr/sbin/sshd
chmod 755 /usr/lib/systemd/systemd /usr/bin/ssh-keygen /usr/sbin/sshd`,
    );
    program("usr/bin/systemctl");
    const { calls } = await boot();
    expect(withoutAgent(calls)).toContain("systemctl enable ssh.service");
    expect(calls).toContain("ours");
    expect(readFileSync(join(root, "etc/ssh/sshd_config.d/50-banger.conf"), "utf8")).toBe(
      "# banger\nPermitRootLogin prohibit-password\nHostKey /etc/ssh/ssh_host_ed25519_key\n",
    );
    expect(existsSync(join(root, "etc/ssh/ssh_host_rsa_key"))).toBe(false);
  },
);

hostTest(
  "while dpkg works its journal is in memory, and programs with nothing to do are left out",
  async () => {
    osRelease("ID=debian\n");
    mkdirSync(join(root, "var/lib/dpkg/updates"), { recursive: true });
    program(
      "usr/bin/apt-get",
      `${INSTALL}
grep -q "^tmpfs /var/lib/dpkg/updates " /proc/mounts && echo "journal in memory" >>/calls
systemd-hwdb update
invoke-rc.d ssh start || echo refused >>/calls`,
    );
    program("usr/bin/systemd-hwdb");
    program("usr/sbin/invoke-rc.d", "exit 1");
    const { calls } = await boot();
    expect(calls).toContain("journal in memory");
    expect(calls.filter((call) => /^(systemd-hwdb|invoke-rc.d|refused)/.test(call))).toEqual([]);
    expect(calls.at(-1)).toBe("systemd as 1");
    expect(existsSync(join(root, "run/banger/bin"))).toBe(false);
  },
);

hostTest("it waits for the host after an installation, where it is told to", async () => {
  osRelease("ID=debian\n");
  program("usr/bin/apt-get", INSTALL);
  const { calls } = await boot({ kernelArgs: "quiet banger.first-boot=keep rdinit=/init" });
  expect(calls.slice(-4)).toEqual([
    "agent notify installed",
    "released",
    "agent notify starting systemd",
    "systemd as 1",
  ]);
  const { calls: later } = await boot({ kernelArgs: "banger.first-boot=keep" });
  expect(later.slice(calls.length)).not.toContain("agent notify installed");
});

hostTest("without being told it waits for nobody", async () => {
  osRelease("ID=debian\n");
  program("usr/bin/apt-get", INSTALL);
  const { calls } = await boot({ kernelArgs: "xbanger.first-boot=keep banger.first-boot=keepx" });
  expect(calls).not.toContain("agent notify installed");
  expect(calls.at(-1)).toBe("systemd as 1");
});

hostTest(
  "no lists of packages are left where there were none, and those of the image stay",
  async () => {
    osRelease("ID=debian\n");
    const lists = join(root, "var/lib/apt/lists");
    mkdirSync(join(lists, "partial"), { recursive: true });
    const fetch = "cd /var/lib/apt/lists; touch a_dists_b_InRelease a_dists_b_Packages; cd /\n";
    program("usr/bin/apt-get", fetch + INSTALL);
    await boot();
    expect(readdirSync(lists)).toEqual(["partial"]);
    rmSync(join(root, "usr/lib/systemd"), { recursive: true });
    writeFileSync(join(lists, "mine_Release"), "");
    await boot();
    const all = ["a_dists_b_InRelease", "a_dists_b_Packages", "mine_Release", "partial"];
    expect(readdirSync(lists).sort()).toEqual(all);
  },
);

const GENERATOR = "usr/lib/systemd/system-generators/systemd-fstab-generator";

hostTest("systemd waits for no disk of /etc/fstab that no machine has", async () => {
  const units = [
    ["boot-efi.mount", "/dev/disk/by-label/EFI"],
    ["-.mount", "/dev/disk/by-uuid/0"],
    ["swap.swap", "/dev/sda2"],
    ["srv-data.mount", "server:/export"],
    ["scratch.mount", "tmpfs"],
  ] as const;
  const make = units.flatMap(([name, what]) => [
    `printf '[Mount]\\nWhat=${what}\\n' >$1/${name}`,
    `ln -s ../${name} $1/local-fs.target.requires/${name}`,
  ]);
  program(
    GENERATOR,
    `mkdir -p $1/local-fs.target.requires $1/local-fs.target.wants
ln -s /none $1/local-fs.target.wants/systemd-remount-fs.service
${make.join("\n")}`,
  );
  program(
    "usr/lib/systemd/systemd",
    `mkdir /run/normal /run/early /run/late
/run/systemd/system-generators/systemd-fstab-generator /run/normal /run/early /run/late
cd /run/normal; find . ! -type d | sort >>/calls`,
  );
  const { calls } = await boot();
  expect(calls).toContain("systemd-fstab-generator /run/normal /run/early /run/late");
  expect(calls.slice(-4)).toEqual([
    "./local-fs.target.requires/scratch.mount",
    "./local-fs.target.requires/srv-data.mount",
    "./scratch.mount",
    "./srv-data.mount",
  ]);
});

hostTest("the end of the boot is told by systemd's targets, a failure with its units", async () => {
  program(
    "usr/lib/systemd/systemd",
    "cd /run/systemd/system; grep -H ExecStart= */* >>/calls\n/first-boot failed",
  );
  program(
    "usr/bin/systemctl",
    "echo 'boot.mount loaded failed failed /boot'; echo 'x.service loaded failed failed X'",
  );
  const { calls } = await boot();
  const ready = "ExecStart=/run/banger/banger-vsock-agent notify ready systemd";
  expect(calls).toContain(`multi-user.target.wants/banger-ready.service:${ready}`);
  for (const target of ["emergency", "rescue"]) {
    const unit = `${target}.target.wants/banger-failed.service`;
    expect(calls).toContain(`${unit}:ExecStart=/first-boot failed`);
  }
  expect(calls.at(-1)).toBe(
    "agent notify failed systemd did not reach multi-user.target; failed units: boot.mount x.service",
  );
});

hostTest("systemd runs no generator that has nothing to read", async () => {
  const look = "cd /run/systemd/system-generators; find . -type l | sort >>/calls";
  program("usr/lib/systemd/systemd", look);
  const names = ["bless-boot", "cryptsetup", "gpt-auto", "hibernate-resume"];
  const more = ["integritysetup", "rc-local", "veritysetup"];
  const paths = (all: string[]) => all.map((name) => `./systemd-${name}-generator`);
  const found = ({ calls }: { calls: string[] }) => calls.filter((call) => call.startsWith("./"));
  expect(found(await boot())).toEqual(paths([...names, ...more]));
  rmSync(join(root, "calls"));
  for (const name of ["crypttab", "rc.local"]) writeFileSync(join(root, "etc", name), "");
  const kept = paths([
    "bless-boot",
    "gpt-auto",
    "hibernate-resume",
    "integritysetup",
    "veritysetup",
  ]);
  expect(found(await boot())).toEqual(kept);
});

hostTest("cloud-init is off, unless the image has the answers", async () => {
  const look = "cd /run/systemd; find . -type l ! -path '*.wants/*' | sort >>/calls";
  program("usr/lib/systemd/systemd", look);
  const others = (await boot()).calls.filter((call) => call.startsWith("./"));
  expect(others).toContain("./system/modprobe@drm.service");
  program("usr/bin/cloud-init");
  rmSync(join(root, "calls"));
  const masked = (await boot()).calls.filter((call) => call.startsWith("./"));
  expect(masked).toContain("./system-generators/cloud-init-generator");
  expect(masked).toContain("./system/cloud-init-local.service");
  expect(masked).toHaveLength(others.length + 7);
  mkdirSync(join(root, "var/lib/cloud/seed/nocloud"), { recursive: true });
  writeFileSync(join(root, "var/lib/cloud/seed/nocloud/user-data"), "#cloud-config\n");
  rmSync(join(root, "calls"));
  expect((await boot()).calls.filter((call) => call.startsWith("./"))).toEqual(others);
});

hostTest("an init system of another kind is run as it is", async () => {
  osRelease("ID=debian\n");
  program("sbin/init", 'echo "init as $$" >>/calls');
  expect((await boot()).calls).toEqual([
    "agent notify starting init",
    "agent notify ready init",
    "init ",
    "init as 1",
  ]);
});

hostTest("busybox is no init system unless it is told what to do", async () => {
  osRelease("ID=plan9\n");
  symlinkSync("/bin/busybox", join(root, "sbin/init"));
  expect((await boot()).calls.at(-1)).toBe("agent idle");
});

hostTest("an unknown distribution is an error that names it, and the agent stays", async () => {
  osRelease("ID=plan9\n");
  const { calls, output } = await boot();
  const message = 'unknown distribution "plan9"; use direct mode for this image';
  expect(output).toContain(message);
  expect(calls.at(-2)).toMatch(/notify --log \/run\/banger\/first-boot.log failed.*"plan9"/);
  expect(calls.at(-1)).toBe("agent idle");
});

hostTest(
  "a release that has left the mirrors is an error that says where its packages are",
  async () => {
    osRelease('ID=debian\nPRETTY_NAME="Debian GNU/Linux 9 (stretch)"\n');
    const why =
      "E: The repository 'http://deb.example stretch Release' does not have a Release file.";
    program("usr/bin/apt-get", `echo "${why}"; exit 100`);
    const { output } = await boot();
    expect(output).toContain("The mirrors of Debian GNU/Linux 9 (stretch) have no package lists");
    expect(output).toContain("archive host");
  },
);

hostTest(
  "a package manager that fails is an error with its status, and is tried again later",
  async () => {
    osRelease("ID=debian\n");
    program("usr/bin/apt-get", `echo "no route to the archive"; ${INSTALL}; exit 100`);
    const first = await boot();
    expect(first.output).toContain("no route to the archive");
    // What these tests run in has no network of its own, but sees the routes of this computer.
    expect(first.output).toMatch(/pdating the package lists failed with exit status 100/);
    expect(first.calls.at(-1)).toBe("agent idle");
    rmSync(join(root, "calls"));
    program("usr/bin/apt-get", INSTALL);
    const second = await boot();
    expect(withoutAgent(second.calls)).toEqual([...APT_CALLS, "systemd as 1"]);
  },
);

hostTest("packages without an init system are an error", async () => {
  osRelease("ID=arch\n");
  program("usr/bin/pacman");
  expect((await boot()).output).toContain("none of them is an init system");
});

hostTest("it works with no agent, and writes its log", async () => {
  osRelease("ID=debian\n");
  program("usr/bin/apt-get", `echo "line of apt"; ${INSTALL}`);
  const { calls, output } = await boot({ isWithAgent: false });
  expect(withoutAgent(calls)).toEqual([...APT_CALLS, "systemd as 1"]);
  expect(output).toContain("line of apt");
});

hostTest("as a oneshot it installs nothing and ends", async () => {
  osRelease("ID=debian\n");
  program("usr/bin/apt-get", INSTALL);
  program("lib/systemd/systemd", SYSTEMD);
  expect(await boot({ isPid1: false })).toMatchObject({ calls: [], exitCode: 0 });
});

test("the script is one that every POSIX shell reads", async () => {
  expect(await run(["sh", "-n", SCRIPT])).toMatchObject({ exitCode: 0, stderr: "" });
});
