/** guest/boot/first-boot.sh with what the host gives it of packages: scripts stand in for package managers. */
import { expect } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "#base/run.ts";
import {
  APT,
  APT_CALLS,
  boot,
  GIVEN,
  INSTALL,
  osRelease,
  program,
  root,
  useRoots,
  withoutAgent,
} from "#test/first-boot-root.ts";
import { testNeeding } from "#test/needs.ts";

const hostTest = testNeeding("root", "unshare", "chroot");

useRoots();

hostTest(
  "packages of the host are installed, or its own where there are none or they do not do",
  async () => {
    const outcome = async (answer: string, apt: string) => {
      for (const path of ["calls", "usr/lib/systemd"])
        rmSync(join(root, path), { recursive: true, force: true });
      osRelease("ID=debian\n");
      writeFileSync(join(root, "answer"), `${answer}\n`);
      program("usr/bin/apt-get", `${apt}; ${INSTALL}`);
      const { calls } = await boot({ kernelArgs: "banger.packages=host" });
      return withoutAgent(calls).map((call) =>
        call.includes(`=${GIVEN}/lists `) ? "given" : call,
      );
    };
    const look = `cat ${GIVEN}/sources.list ${GIVEN}/lists/_run_banger_disk_packages_._Packages >>/calls`;
    const seen = [`deb [trusted=yes] file:${GIVEN} ./`, "the list"];
    expect(await outcome("given", look)).toEqual(["given", ...seen, "systemd as 1"]);
    expect(await outcome("none", ":")).toEqual([...APT_CALLS, "systemd as 1"]);
    const broken = `case "$*" in *${GIVEN}*) exit 100 ;; esac`;
    expect(await outcome("given", broken)).toEqual(["given", ...APT_CALLS, "systemd as 1"]);
  },
);

hostTest("what an attempt has left that failed is gone after the next one", async () => {
  const policy = join(root, "usr/sbin/policy-rc.d");
  osRelease("ID=debian\n");
  for (const own of [undefined, "#!/bin/sh\nexit 101\n"]) {
    rmSync(join(root, "usr/lib/systemd"), { recursive: true, force: true });
    if (own) writeFileSync(policy, own, { mode: 0o755 });
    program("usr/bin/apt-get", "exit 1");
    await boot();
    expect(existsSync(policy)).toBe(true);
    writeFileSync(join(root, "answer"), "none\n");
    program("usr/bin/apt-get", `[ ! -e ${GIVEN} ] || echo left >>/calls; ${INSTALL}`);
    const { calls } = await boot({ kernelArgs: "banger.packages=host" });
    expect(calls.at(-1)).toBe("systemd as 1");
    expect(calls).not.toContain("left");
    expect(existsSync(policy) ? readFileSync(policy, "utf8") : undefined).toBe(own);
    expect(existsSync(join(root, "var/lib/banger"))).toBe(false);
  }
});

hostTest("packages that the host has unpacked are configured, by apt if it has hooks", async () => {
  const outcome = async (dpkg = INSTALL) => {
    for (const path of ["calls", "usr/lib/systemd"])
      rmSync(join(root, path), { recursive: true, force: true });
    osRelease("ID=debian\n");
    writeFileSync(join(root, "answer"), "unpacked\n");
    program("usr/bin/dpkg", dpkg);
    program("usr/bin/apt-get", INSTALL);
    const { calls } = await boot({ kernelArgs: "banger.packages=host" });
    return withoutAgent(calls);
  };
  const first = "dpkg --force-confold --no-triggers --configure libc";
  const rest = "dpkg --force-confold --configure --pending";
  expect(await outcome()).toEqual([first, rest, "systemd as 1"]);
  expect(await outcome("exit 1")).toEqual([first, ...APT_CALLS, "systemd as 1"]);
  mkdirSync(join(root, "etc/apt/apt.conf.d"), { recursive: true });
  writeFileSync(join(root, "etc/apt/apt.conf.d/x"), 'DPkg::Post-Invoke {"true"};\n');
  const [, second, ...others] = await outcome();
  expect(second).toStartWith(`${APT} -y `);
  expect(second).toEndWith(" install");
  expect(others).toEqual(["systemd as 1"]);
});

hostTest("scripts before unpacking run in order, and may not change diversions", async () => {
  const given = join(root, GIVEN);
  const preinst = async (two: string) => {
    rmSync(join(root, "calls"), { force: true });
    mkdirSync(given, { recursive: true });
    mkdirSync(join(root, "var/lib/dpkg"), { recursive: true });
    writeFileSync(join(given, "version"), "1.21\n");
    writeFileSync(join(given, "scripts"), "one amd64\ntwo all\n");
    program(
      `${GIVEN}/one.preinst`,
      'echo "$DPKG_MAINTSCRIPT_PACKAGE $DPKG_MAINTSCRIPT_ARCH" >>/calls',
    );
    program(`${GIVEN}/two.preinst`, two);
    const { exitCode } = await run(["chroot", root, "/first-boot", "preinst"]);
    return [exitCode, ...readFileSync(join(root, "calls"), "utf8").trim().split("\n")];
  };
  const calls = ["one.preinst install", "one amd64", "two.preinst install"];
  expect(await preinst(":")).toEqual([0, ...calls]);
  expect(await preinst("echo /a >/var/lib/dpkg/diversions")).toEqual([1, ...calls]);
  expect(await preinst("exit 3")).toEqual([3, ...calls]);
});
