/** A root of busybox with guest/boot/first-boot.sh as PID 1, whose programs write down how they were called. */
import { afterEach, beforeEach } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { run } from "#base/run.ts";
import { busyboxRoot } from "./guest-disk.ts";

export const SCRIPT = join(import.meta.dir, "../../guest/boot/first-boot.sh");
export const SYSTEMD = 'echo "systemd as $$" >>/calls';
/** Installs a systemd where the real packages have it. */
export const INSTALL = `case " $* " in *" clean "*) exit ;; esac
{ mkdir -p /usr/lib/systemd
printf '#!/bin/sh\\n%s\\n' '${SYSTEMD}' >/usr/lib/systemd/systemd
chmod 755 /usr/lib/systemd/systemd; }`;

/** Of the present test. */
export let root: string;

/** Gives each test of a file a root of its own. */
export function useRoots(): void {
  beforeEach(async () => {
    root = mkdtempSync(join(tmpdir(), "banger-first-boot-"));
    cpSync(await busyboxRoot(), root, { recursive: true, verbatimSymlinks: true });
    for (const folder of ["proc", "sys", "dev", "run", "sbin", "usr/sbin"]) {
      mkdirSync(join(root, folder), { recursive: true });
    }
    copyFileSync(SCRIPT, join(root, "first-boot"));
    chmodSync(join(root, "first-boot"), 0o755);
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));
}

/** A program of the guest: its call is written down, then `body` runs. */
export function program(path: string, body = ""): void {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `#!/bin/sh\necho "${path.replace(/.*\//, "")} $*" >>/calls\n${body}\n`);
  chmodSync(file, 0o755);
}

export function osRelease(text: string): void {
  writeFileSync(join(root, "etc/os-release"), text);
}

/** Lets the script go on as the host does, after a moment. busybox has a dpkg of its own. */
const AGENT = `[ "$1 $2" != "unsynced dpkg" ] || { shift 2; exec /usr/bin/dpkg "$@"; }
[ "$1" != unsynced ] || { shift; exec "$@"; }
[ "$2" != --lines ] || exec tee -a /run/banger/first-boot.log
[ "$2" != installed ] || {
sleep 0.2; echo released >>/calls; echo >/run/banger/kept; } &
[ "$2" != packages ] || {
sleep 0.2; mkdir -p /run/banger/disk/packages; cd /run/banger/disk/packages
echo the list >Packages; echo 2 >count; echo libc >first
cat /answer >/run/banger/packages; } &`;

/**
 * Runs the script with an agent in /run, as PID 1 unless told otherwise. `kernelArgs`: that it sees, in
 * place of this computer's.
 */
export async function boot(
  options: { isPid1?: boolean; isWithAgent?: boolean; kernelArgs?: string } = {},
) {
  const { isPid1 = true, isWithAgent = true, kernelArgs = "quiet" } = options;
  program("agent", AGENT);
  writeFileSync(join(root, "cmdline"), `${kernelArgs}\n`);
  const setUp = [
    `mount -t proc proc ${root}/proc`,
    `mount --bind ${root}/cmdline ${root}/proc/cmdline`,
    `mount -t tmpfs tmpfs ${root}/run`,
    `mkdir -p ${root}/run/banger ${root}/run/systemd/system`,
    `touch ${root}/run/systemd/system/ours`,
    isWithAgent ? `cp ${root}/agent ${root}/run/banger/banger-vsock-agent` : "true",
    isPid1 ? `exec chroot ${root} /first-boot` : `chroot ${root} /first-boot`,
  ];
  const { exitCode, stdout, stderr } = await run(
    ["unshare", "--mount", "--pid", "--fork", "sh", "-c", setUp.join("\n")],
    { env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" } },
  );
  const calls = existsSync(join(root, "calls"))
    ? readFileSync(join(root, "calls"), "utf8").trim().split("\n")
    : [];
  return { exitCode, output: stdout + stderr, calls };
}

/** The calls of programs other than the agent. */
export function withoutAgent(calls: string[]): string[] {
  return calls.filter((call) => !call.startsWith("agent "));
}

export const APT =
  "apt-get -q -o Acquire::Languages=none -o Acquire::PDiffs=false -o Acquire::GzipIndexes=false " +
  "-o Acquire::CompressionTypes::Order::=gz -o Dir::Cache::pkgcache=pkgcache.bin " +
  "-o Dir::Cache::srcpkgcache=srcpkgcache.bin";
export const APT_CALLS = [
  `${APT} update`,
  `${APT} -y --no-install-recommends -o Dpkg::Use-Pty=0 ` +
    "-o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io " +
    "-o DPkg::Path=/run/banger/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin install " +
    "systemd systemd-sysv udev dbus openssh-server iproute2",
  `${APT} clean`,
];
export const GIVEN = "/run/banger/disk/packages";
