/**
 * guest/boot/first-boot.sh as PID 1 with the real dnf, zypper and pacman. /usr of the root is an overlay on the
 * host's; the packages come from repositories that the test creates. The script of one of them fails,
 * and zypper has a second repository that cannot be reached.
 */
import { afterEach, beforeEach, expect } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { run } from "#base/run.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { testNeeding } from "#test/needs.ts";
import { type Package, pacmanRepository, rpmRepository } from "#test/package-repos.ts";

const SCRIPT = join(import.meta.dir, "../../guest/boot/first-boot.sh");

const COMMON = ["root", "unshare", "chroot", "systemctl", "ssh-keygen"];
const RPM = [...COMMON, "rpmbuild", "rpmsign", "createrepo_c", "gpg"];
const dnfTest = testNeeding(...RPM, "dnf");
const zypperTest = testNeeding(...RPM, "zypper");
const pacmanTest = testNeeding(...COMMON, "pacman", "makepkg", "bsdtar", "zstd");

const AGENT = `#!/bin/sh
[ "$1" != unsynced ] || { shift; exec "$@"; }
[ "$2" != --lines ] || exec tee -a /run/banger/first-boot.log
echo "agent $*"
`;

/** Logs how it is started, and the installed packages. */
const SYSTEMD = `#!/bin/sh
echo "systemd as $$, offline \${SYSTEMD_OFFLINE-no}" >>/calls
ls /run/systemd/system/ours >>/calls
for list in "rpm -qa --qf %{NAME}\\n" "pacman -Qq"; do $list; done 2>/dev/null | sort >/installed
`;
const SEEN = `[ -d /run/systemd/system ] && running=yes || running=no
echo "offline $SYSTEMD_OFFLINE, running $running" >>/calls`;
const SSHD = {
  "usr/sbin/sshd": "#!/bin/sh\n",
  "usr/lib/systemd/system/sshd.service":
    "[Service]\nExecStart=/usr/sbin/sshd\n[Install]\nWantedBy=multi-user.target\n",
  "etc/ssh/sshd_config.d/40-vendor.conf": "\n",
};
const SHELL = { name: "bash", provides: ["/bin/sh"] };

/** Holds the repositories and the root. */
let scratch: string;
let root: string;

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "banger-managers-"));
  root = join(scratch, "root");
  for (const folder of ["proc", "sys", "dev", "run", "tmp", "root", "usr", "overlay", "var/tmp"]) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  for (const name of ["bin", "sbin", "lib", "lib64"]) symlinkSync(`usr/${name}`, join(root, name));
  file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
  file("etc/group", "root:x:0:\n");
  symlinkSync("../proc/self/mounts", join(root, "etc/mtab"));
  cpSync("/etc/alternatives", join(root, "etc/alternatives"), {
    recursive: true,
    verbatimSymlinks: true,
  });
  file("agent", AGENT);
  chmodSync(join(root, "agent"), 0o755);
  copyFileSync(SCRIPT, join(root, "first-boot"));
  chmodSync(join(root, "first-boot"), 0o755);
});
afterEach(() => rmSync(scratch, { recursive: true, force: true }));

function file(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

function lines(path: string): string[] {
  if (!existsSync(join(root, path))) return [];
  return readFileSync(join(root, path), "utf8").trim().split("\n");
}

/** Runs the script as PID 1, with the host's systemd and ssh server hidden. */
async function boot(): Promise<string> {
  const setUp = [
    "set -e",
    `mount --bind ${root} ${root}`,
    `cd ${root}`,
    "mount -t tmpfs tmpfs overlay",
    "mkdir overlay/upper overlay/work",
    "mount -t overlay -o lowerdir=/usr,upperdir=overlay/upper,workdir=overlay/work overlay usr",
    "rm -f usr/lib/systemd/systemd usr/sbin/init usr/sbin/sshd usr/lib/systemd/system/ssh*",
    "mount -t proc proc proc",
    "mount -t tmpfs tmpfs run",
    "mkdir -p run/systemd/system run/banger",
    "touch run/systemd/system/ours",
    "cp agent run/banger/banger-vsock-agent",
    "exec chroot . /first-boot",
  ];
  const { stdout, stderr } = await run(
    ["unshare", "--mount", "--pid", "--kill-child", "--fork", "sh", "-c", setUp.join("\n")],
    {
      env: { HOME: "/", TERM: "linux", PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
      timeout_ms: LIMIT_MS,
    },
  );
  return stdout + stderr;
}

function systemd(): Package {
  return {
    name: "systemd",
    needs: ["bash"],
    provides: ["installhint(reboot-needed)"],
    recommends: ["not-wanted"],
    files: { "usr/lib/systemd/systemd": SYSTEMD },
    script: SEEN,
  };
}

interface Manager {
  name: string;
  hostTest: typeof dnfTest;
  id: string;
  config: Record<string, string>;
  packages: Package[];
  installed: string[];
  makeRepository: typeof rpmRepository;
  /** The error while the repository does not exist. */
  failure: string;
}

const managers: Manager[] = [
  {
    name: "dnf",
    hostTest: dnfTest,
    id: "fedora",
    config: {
      "etc/dnf/dnf.conf": "[main]\ngpgcheck=1\n",
      "etc/yum.repos.d/test.repo":
        "[test]\nname=test\nbaseurl=file:///repo\ngpgkey=file:///repo/repodata/repomd.xml.key\n",
    },
    packages: [
      { name: "systemd-udev" },
      { name: "dbus" },
      { name: "openssh-server", files: SSHD },
      { name: "iproute", script: "exit 1" },
    ],
    installed: [
      "bash",
      "dbus",
      "gpg-pubkey",
      "iproute",
      "openssh-server",
      "systemd",
      "systemd-udev",
    ],
    makeRepository: rpmRepository,
    failure: "Installing systemd and openssh-server failed with exit status 1",
  },
  {
    name: "zypper",
    hostTest: zypperTest,
    id: "opensuse-tumbleweed",
    config: {
      "etc/zypp/repos.d/test.repo": "[test]\nname=test\nenabled=1\nbaseurl=file:///repo\n",
      "etc/zypp/repos.d/gone.repo": "[gone]\nname=gone\nenabled=1\nbaseurl=file:///gone\n",
    },
    packages: [
      { name: "udev" },
      { name: "dbus-1" },
      { name: "openssh", needs: ["openssh-server"] },
      { name: "openssh-server", files: SSHD },
      { name: "iproute2", script: "exit 1" },
    ],
    installed: [
      "bash",
      "dbus-1",
      "gpg-pubkey",
      "iproute2",
      "openssh",
      "openssh-server",
      "systemd",
      "udev",
    ],
    makeRepository: rpmRepository,
    failure: "Installing systemd and openssh failed with exit status 104",
  },
  {
    name: "pacman",
    hostTest: pacmanTest,
    id: "arch",
    config: {
      "etc/pacman.conf":
        "[options]\nArchitecture = auto\nCheckSpace\nSigLevel = Never\n[test]\nServer = file:///repo\n",
      "var/lib/pacman/keep": "",
      "var/cache/pacman/pkg/keep": "",
    },
    packages: [
      { name: "systemd-sysvcompat", needs: ["systemd"] },
      { name: "dbus" },
      { name: "openssh", files: SSHD },
      { name: "iproute2", script: "exit 1" },
    ],
    installed: ["bash", "dbus", "iproute2", "openssh", "systemd", "systemd-sysvcompat"],
    makeRepository: pacmanRepository,
    failure: "Updating packages, installing systemd and openssh failed with exit status 1",
  },
];

/** Package lists and packages left in a cache. */
function leftOvers(): string[] {
  return ["var/cache", "var/lib/pacman/sync"].flatMap((folder) => {
    if (!existsSync(join(root, folder))) return [];
    const names = readdirSync(join(root, folder), { recursive: true, encoding: "utf8" });
    return names.filter((name) => /\.(rpm|zst|db|xml|xml\.gz|solv)$/.test(name));
  });
}

for (const manager of managers) {
  const { name, hostTest } = manager;
  hostTest(`${name} installs, after a first try without its repository`, async () => {
    const repo = join(scratch, name);
    const all = [systemd(), SHELL, { name: "not-wanted" }, ...manager.packages];
    await manager.makeRepository(repo, all, join(scratch, `${name}-work`));
    file("etc/os-release", `ID=${manager.id}\n`);
    for (const [path, text] of Object.entries(manager.config)) file(path, text);

    const failed = await boot();
    expect(failed).toContain(`${manager.failure}\nagent idle\n`);

    cpSync(repo, join(root, "repo"), { recursive: true, verbatimSymlinks: true });
    const output = await boot();
    expect(lines("calls"), output).toEqual([
      "offline 1, running no",
      "systemd as 1, offline no",
      "/run/systemd/system/ours",
    ]);
    expect(lines("installed")).toEqual(manager.installed);
    expect(leftOvers()).toEqual([]);
    expect(existsSync(join(root, "var/lib/banger"))).toBe(false);
    expect(lines("etc/ssh/sshd_config.d/50-banger.conf")).toContain(
      "HostKey /etc/ssh/ssh_host_ed25519_key",
    );
    const wanted = join(root, "etc/systemd/system/multi-user.target.wants");
    expect(readdirSync(wanted)).toEqual(["sshd.service"]);
    expect(output).not.toContain("Failed to enable");
  });
}
