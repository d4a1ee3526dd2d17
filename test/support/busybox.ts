/** Small OCI images around Debian's static busybox: a machine of it boots in seconds. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Header, pack } from "tar-stream";
import type { Installation } from "./installation.ts";
import { type LayoutOptions, makeLayout } from "./oci-layout.ts";
import { giveKernel, KERNEL } from "./pulled-kernel.ts";

export const BUSYBOX_CONFIG = {
  Cmd: ["sh"],
  Env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "FROM_IMAGE=yes"],
};

/** One entry of a layer. */
export type TarEntry = Partial<Header> & { name: string; body?: string | Uint8Array };

/** Debian's kernel, and an image called "busybox" that boots it. */
export async function pullBusybox(banger: Installation): Promise<void> {
  await giveKernel(banger);
  const layout = join(banger.home, "busybox");
  await busyboxLayout(layout);
  await banger.ok("image", "pull", `oci:${layout}`, "--name", "busybox", "--kernel-ref", KERNEL);
}

/** A layout of busybox in one layer, and one more layer for each of `more`. */
export async function busyboxLayout(
  layout: string,
  options: LayoutOptions & { more?: TarEntry[][] } = {},
): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "banger-busybox-"));
  try {
    const tars: string[] = [];
    for (const [index, entries] of [busyboxEntries(), ...(options.more ?? [])].entries()) {
      const tar = join(scratch, `${index}.tar`);
      writeFileSync(tar, await makeTar(entries));
      tars.push(tar);
    }
    await makeLayout(layout, tars, { config: BUSYBOX_CONFIG, ...options });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

export async function makeTar(entries: TarEntry[]): Promise<Uint8Array> {
  const stream = pack();
  for (const { body, ...headers } of entries) stream.entry(headers, Buffer.from(body ?? ""));
  stream.finalize();
  return Buffer.concat(await Array.fromAsync(stream as AsyncIterable<Buffer>));
}

function busyboxEntries(): TarEntry[] {
  const folders = ["bin", "etc", "dev", "proc", "sys", "tmp", "root", "run", "var", "home/bob"];
  const list = Bun.spawnSync(["/bin/busybox", "--list"]).stdout.toString();
  const applets = list.split("\n").filter((name) => name !== "" && name !== "busybox");
  const bob = { uid: 1000, gid: 1000 };
  return [
    { name: "home", type: "directory", mode: 0o755 },
    ...folders.map((name): TarEntry => {
      const mode = name === "tmp" ? 0o1777 : 0o755;
      return { name, type: "directory", mode, ...(name === "home/bob" ? bob : {}) };
    }),
    { name: "bin/busybox", mode: 0o755, body: readFileSync("/bin/busybox") },
    ...applets.map(
      (name): TarEntry => ({ name: `bin/${name}`, type: "symlink", linkname: "busybox" }),
    ),
    {
      name: "etc/passwd",
      body: "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n",
    },
    { name: "etc/group", body: "root:x:0:\nbob:x:1000:\n" },
    { name: "etc/os-release", body: "ID=busybox\nPRETTY_NAME=Busybox\n" },
  ];
}
