/** Measures the time until PID 1 on an emulated CPU, by the guest's own clock. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runOk } from "#base/run.ts";
import { LIMIT_MS } from "./limit.ts";

/** Seconds. */
export async function guestUptime(kernel: string): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "banger-uptime-"));
  try {
    const initrd = await makeInitrd(folder);
    const serial = join(folder, "console");
    await runOk(
      [
        ...["qemu-system-x86_64", "-M", "microvm,accel=tcg", "-cpu", "max", "-m", "512"],
        ...["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"],
        ...["-serial", `file:${serial}`, "-kernel", kernel, "-initrd", initrd, "-append"],
        "console=ttyS0 quiet panic=-1 reboot=t tsc_early_khz=2000000",
      ],
      { timeout_ms: LIMIT_MS },
    );
    const seconds = /PID 1 at ([\d.]+)/.exec(readFileSync(serial, "utf8"))?.[1];
    if (seconds === undefined) throw new Error(`${kernel} did not get to PID 1`);
    return Number(seconds);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function makeInitrd(folder: string): Promise<string> {
  const init = join(folder, "init");
  await runOk([
    "gcc",
    "-O1",
    "-static",
    "-s",
    "-o",
    init,
    join(import.meta.dir, "guest-init-uptime.c"),
  ]);
  const path = join(folder, "initrd");
  const entries = [cpioEntry("init", 0o100755, readFileSync(init)), cpioEntry("TRAILER!!!", 0)];
  writeFileSync(path, Buffer.concat(entries));
  return path;
}

/** One file in the "newc" form of cpio: thirteen numbers of eight hex digits, name, content. */
function cpioEntry(name: string, mode: number, data = new Uint8Array()): Buffer {
  const numbers = [1, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length + 1, 0];
  const hex = numbers.map((number) => number.toString(16).padStart(8, "0")).join("");
  return Buffer.concat([padded(Buffer.from(`070701${hex}${name}\0`)), padded(data)]);
}

function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}
