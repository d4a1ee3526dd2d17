/** Disks for guests: ext4 files made by mke2fs from directories. */
import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runOk } from "#base/run.ts";
import { LIMIT_MS } from "./limit.ts";
import { CACHE, madeOnce } from "./made-once.ts";

export async function makeDisk(
  path: string,
  options: { size: string; from?: string },
): Promise<void> {
  const from = options.from ? ["-d", options.from] : [];
  await runOk(
    ["mke2fs", "-q", "-F", "-t", "ext4", "-E", "root_owner=0:0", ...from, path, options.size],
    { timeout_ms: LIMIT_MS },
  );
}

/** A folder with busybox and little else: no libc, resolv.conf a symlink that leads nowhere. */
export async function busyboxRoot(): Promise<string> {
  return madeOnce(join(CACHE, "guest-busybox-root"), async (root) => {
    for (const folder of ["bin", "etc", "root", "home/ann", "tmp"])
      mkdirSync(join(root, folder), { recursive: true });
    copyFileSync("/bin/busybox", join(root, "bin/busybox"));
    chmodSync(join(root, "bin/busybox"), 0o755);
    const applets = await runOk([join(root, "bin/busybox"), "--list"]);
    for (const applet of applets.trim().split("\n")) {
      if (applet !== "busybox") symlinkSync("busybox", join(root, "bin", applet));
    }
    writeFileSync(
      join(root, "etc/passwd"),
      "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n",
    );
    writeFileSync(join(root, "etc/group"), "root:x:0:\nann:x:1000:\nwheel:x:27:ann\n");
    symlinkSync("../run/nowhere/resolv.conf", join(root, "etc/resolv.conf"));
  });
}
