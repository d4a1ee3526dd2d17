/** What becomes of a machine's mounts: devices, the template's key, and steps for the guest. */
import { afterAll, expect, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GiB, MiB } from "#base/size.ts";
import { errorOf } from "#test/expect-error.ts";
import type { Drive } from "#vmm/driver.ts";
import { mountsKey, placeholders, setupSteps } from "./attach.ts";
import { mountsOf } from "./check.ts";

const folder = realpathSync(mkdtempSync(join(tmpdir(), "banger-attach-")));
afterAll(() => rmSync(folder, { recursive: true }));

const own: Drive[] = [
  { path: "/rootfs", readOnly: true },
  { path: "/disk", readOnly: false },
];
const drives: Drive[] = [
  ...own,
  { path: "/a", readOnly: false, volume_bytes: MiB },
  { path: "/b", readOnly: true, volume_bytes: 2 * MiB },
];
const direct = { mode: "direct", disk_bytes: GiB } as const;

test("each volume is the disk behind the machine's own, and what is inside of a mount comes after it", () => {
  const steps = setupSteps(
    {
      volumes: [
        { volume: "a", path: "/srv/data/a" },
        { volume: "b", path: "/b", readOnly: true },
      ],
      shares: [{ source: "/home/me", path: "/srv", readOnly: true }],
    },
    { drives, shares: [{ path: "/home/me", readOnly: true }] },
  );
  expect(steps).toEqual([
    [
      ...["mount", "/dev/vdd", "/b", "ext4", "1025", "noload"],
      ...["mount", "share0", "/srv", "9p", "5", "trans=virtio,version=9p2000.L,msize=512000"],
      ...["volume", "/dev/vdc", "/srv/data/a"],
    ],
  ]);
});

test("a share without a device is mounted in its place between the steps for the guest", () => {
  const shares = [
    { source: "/home/me", path: "/srv/a" },
    { source: "/home/you", path: "/b/c" },
  ];
  const guest = { tmpfs: [{ path: "/srv" }, { path: "/srv/a/t" }], readOnly: true };
  expect(setupSteps({ shares, guest }, { drives: own })).toEqual([
    ["mount", "tmpfs", "/srv", "tmpfs", "6", "mode=1777"],
    { share: 0 },
    { share: 1 },
    [
      ...["mount", "tmpfs", "/srv/a/t", "tmpfs", "6", "mode=1777"],
      ...["mount", "root", "/", "", "4129", ""],
    ],
  ]);
});

test("a read-only root is the last step, since the others create directories", () => {
  const guest = {
    readOnly: true,
    tmpfs: [{ path: "/t", size_bytes: 4096 }],
    shm_bytes: 8192,
    swap_bytes: 10_000_000,
    sysctls: { "net.core.somaxconn": "9", "net/ipv4/conf/eth0.1/rp_filter": "0" },
    ulimits: [{ name: "nofile" as const, soft: 10, hard: -1 }],
  };
  expect(setupSteps({ guest }, { drives: own })).toEqual([
    [
      ...["mount", "tmpfs", "/t", "tmpfs", "6", "mode=1777,size=4096"],
      ...["mount", "tmpfs", "/dev/shm", "tmpfs", "38", "mode=1777,size=8192"],
      ...["swap", "9998336"],
      ...["write", "/proc/sys/net/core/somaxconn", "9"],
      ...["write", "/proc/sys/net/ipv4/conf/eth0.1/rp_filter", "0"],
      ...["limits", "7 10 18446744073709551615"],
      ...["mount", "root", "/", "", "4129", ""],
    ],
  ]);
  expect(setupSteps({}, { drives: own })).toEqual([]);
});

test("a template has empty files of the same sizes, and its key tells sizes and modes, not names", () => {
  const shares = [{ path: "/home/me", readOnly: false }];
  const empty = placeholders({ drives, shares }, folder);
  expect(empty.drives.slice(0, 2)).toEqual(own);
  expect(empty.drives.slice(2).map(({ path }) => statSync(path).size)).toEqual([MiB, 2 * MiB]);
  expect(empty.shares).toEqual([{ path: join(folder, "share"), readOnly: false }]);
  expect(mountsKey({ drives: own })).toBeUndefined();
  expect(mountsKey({ drives: own, shares: [] })).toBeUndefined();
  const key = JSON.stringify(mountsKey({ drives, shares }));
  expect(JSON.stringify(mountsKey(empty))).toBe(key);
  const larger = drives.map((drive) => ({ ...drive, volume_bytes: drive.volume_bytes && GiB }));
  expect(JSON.stringify(mountsKey({ drives: larger, shares }))).not.toBe(key);
});

test("mounts that cannot be are refused before anything is made", () => {
  const data = { volume: "data", path: "/data/" };
  const refused = (
    request: Parameters<typeof mountsOf>[0],
    mode: "direct" | "systemd" = "direct",
  ) => errorOf(() => mountsOf(request, { ...direct, mode })).message;
  expect(mountsOf({ volumes: [data] }, direct)).toEqual({
    volumes: [{ volume: "data", path: "/data" }],
  });
  expect(refused({ volumes: [data, { volume: "b", path: "//data/." }] })).toContain("two things");
  expect(refused({ volumes: [data, { ...data, path: "/b" }] })).toContain("twice");
  expect(refused({ volumes: [{ volume: "a", path: "/a/../run/banger" }] })).toContain('".."');
  for (const path of ["/run/banger/disk", "/proc", "/sys/fs", "/dev"]) {
    expect(refused({ guest: { tmpfs: [{ path }] } })).toContain("the machine needs it itself");
  }
  expect(refused({ guest: { readOnly: true } }, "systemd")).toContain("--read-only");
  expect(refused({ guest: { swap_bytes: GiB } })).toContain("of swap on a disk of");
});

test("a directory of the host is one that is there, by its real path", () => {
  const real = join(folder, "real");
  mkdirSync(real);
  symlinkSync(real, join(folder, "link"));
  writeFileSync(join(folder, "file"), "");
  const share = (source: string) => ({ shares: [{ source, path: "/src" }] });
  expect(mountsOf(share(join(folder, "link")), direct).shares).toEqual([
    { source: real, path: "/src" },
  ]);
  const failure = (source: string) => errorOf(() => mountsOf(share(source), direct));
  expect(failure(join(folder, "none"))).toMatchObject({ code: "not_found" });
  expect(failure(join(folder, "my files")).hint).toBe(
    `Create it with: mkdir -p '${join(folder, "my files")}'`,
  );
  symlinkSync("round", join(folder, "round"));
  for (const source of [join(folder, "round"), join(folder, "n".repeat(300))]) {
    const { code, message } = failure(source);
    expect(code).toBe("invalid_argument");
    expect(message).toStartWith(`Cannot share "${source}": `);
  }
  expect(failure(join(folder, "file")).message).toEndWith("not a directory");
  const idle = { ...share(real), idleSuspend_ms: 1000 };
  expect(errorOf(() => mountsOf(idle, direct)).message).toContain("--idle-suspend");
});
