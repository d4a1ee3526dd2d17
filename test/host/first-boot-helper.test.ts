/** The deb-systemd-helper of guest/boot/first-boot.sh does what Debian's own does, with the same files in the end. */
import { afterAll, beforeAll, expect } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runOk } from "#base/run.ts";
import { testNeeding } from "#test/needs.ts";

const SCRIPT = join(import.meta.dir, "../../guest/boot/first-boot.sh");
const LEFT = "left to Perl: ";
const hostTest = testNeeding("root", "unshare", "deb-systemd-helper", "systemctl");

const unit = (install: string): string =>
  `[Unit]\nDescription=x\n\n[Service]\nExecStart=/bin/true\n\n[Install]\n${install}\n`;
const UNITS: Record<string, string> = {
  "plain.service": unit("WantedBy=multi-user.target"),
  "two.service": unit("WantedBy=multi-user.target\nAlias=other.service\nWantedBy=rescue.target"),
  "later.service": unit("WantedBy=multi-user.target"),
  "none.service": unit(""),
  "words.service": unit("WantedBy=multi-user.target rescue.target"),
  "also.service": unit("WantedBy=multi-user.target\nAlso=plain.service"),
  "odd.service": unit(" wantedby=multi-user.target"),
  "many@.service": unit("DefaultInstance=x\nWantedBy=multi-user.target"),
};
/** As the scripts of a package call it when it is new, and of one that does not enable its unit. */
const CALLS = (name: string): string[] => [
  `unmask ${name}`,
  `--quiet was-enabled ${name}`,
  `debian-installed ${name}`,
  `enable ${name}`,
  `--quiet was-enabled ${name}`,
];
const NEW = Object.keys(UNITS).filter((name) => name !== "later.service");
const MORE = [
  "debian-installed plain.service",
  "enable plain.service",
  "debian-installed later.service",
  "update-state later.service",
  "mask plain.service",
  "unmask plain.service",
  "unmask plain.service",
];

let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "banger-helper-"));
  const script = `skipped=${folder}\n${functionOf("write_systemd_helper")}\nwrite_systemd_helper\n`;
  await runOk(["sh", "-c", script]);
  const helper = join(folder, "deb-systemd-helper");
  const own = readFileSync(helper, "utf8");
  writeFileSync(helper, own.replace(/^real=.*$/m, `real=${folder}/real`));
  const real = `#!/bin/sh\n# preset-mode\necho "${LEFT}$*"\nexec /usr/bin/deb-systemd-helper "$@"\n`;
  writeFileSync(join(folder, "real"), real, { mode: 0o755 });
  mkdirSync(join(folder, "units"));
  for (const [name, text] of Object.entries(UNITS))
    writeFileSync(join(folder, "units", name), text);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function functionOf(name: string): string {
  const text = readFileSync(SCRIPT, "utf8");
  return new RegExp(`^${name}\\(\\) \\{\\n[^]*?^\\}`, "m").exec(text)?.[0] ?? "";
}

/** What `calls` of `helper` give and leave, in a mount namespace with none of the host's units; and those left to Perl. */
async function outcome(helper: string, calls: readonly string[]) {
  const places = ["/etc/systemd/system", "/var/lib/systemd", "/usr/lib/systemd/system"];
  const script = [
    "set -e",
    "umask 022",
    ...places.map((place) => `mount -t tmpfs -o mode=755 tmpfs ${place}`),
    `cp ${folder}/units/* /usr/lib/systemd/system`,
    ...calls.map((call) => `s=0; ${helper} ${call} 2>/dev/null || s=$?; echo "${call}: $s"`),
    "cd /",
    `find etc/systemd/system var/lib/systemd -printf '%p %y %m %l\\n' | sort`,
    `find var/lib/systemd -type f | sort | while read -r path; do sed "s|^|$path: |" $path; done`,
  ];
  const env = { DPKG_MAINTSCRIPT_PACKAGE: "x", PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };
  const lines = (await runOk(["unshare", "--mount", "sh", "-c", script.join("\n")], { env })).split(
    "\n",
  );
  const isLeft = (line: string): boolean => line.startsWith(LEFT);
  return {
    result: lines.filter((line) => !isLeft(line)),
    left: lines.filter(isLeft).map((line) => line.slice(LEFT.length)),
  };
}

hostTest(
  "it gives the same files and statuses, and leaves to Perl what it does not know",
  async () => {
    const calls = [...NEW.flatMap(CALLS), ...MORE];
    const theirs = await outcome("/usr/bin/deb-systemd-helper", calls);
    const ours = await outcome(`sh ${folder}/deb-systemd-helper`, calls);
    expect(ours.result).toEqual(theirs.result);
    expect(theirs.result).toContain(
      "etc/systemd/system/multi-user.target.wants/plain.service l 777 /lib/systemd/system/plain.service",
    );
    expect(ours.left).toEqual([
      "enable words.service",
      "enable also.service",
      "enable odd.service",
      ...CALLS("many@.service"),
      // As after an upgrade of its package.
      "enable plain.service",
      "mask plain.service",
      "unmask plain.service",
    ]);
  },
);
