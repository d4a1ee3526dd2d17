/**
 * `banger vm run IMAGE -- true`, from nothing to its exit status, beside the same QEMU with the
 * same kernel, initrd and disks started by hand and ended as soon as its guest has greeted. What
 * is in between is ours: finding the daemon, making the machine, the command, taking it down.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { busyboxLayout } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";
import { printRatio, race } from "./measure.ts";

const ROUNDS = 7;
const PROBE = "probe";

await using banger = install();
await banger.ok("kernel", "pull", "debian-6.12");
await busyboxLayout(join(banger.home, "busybox"));
await banger.ok("image", "pull", `oci:${banger.home}/busybox`, "--name", "busybox");
const byHand = await handMade(banger);
const run = ["vm", "run", "--net", "none", "busybox", "--", "true"];
await banger.ok(...run);
const [ours = 0, qemu = 1] = await race(
  [
    { name: "banger vm run busybox -- true", run: () => banger.ok(...run) },
    { name: "QEMU by hand, until its guest greets", run: byHand },
  ],
  ROUNDS,
);
printRatio("vm run / QEMU by hand", ours / qemu, "1.25");

/** Takes the command line of a machine that banger runs, with copies of what it writes to. */
async function handMade({ home, ok, processes }: Installation): Promise<() => Promise<void>> {
  await ok(
    "vm",
    "create",
    "--image",
    "busybox",
    "--name",
    PROBE,
    "--mode",
    "direct",
    "--net",
    "none",
  );
  const pid = processes().find(({ command }) => /qemu-system/.test(command))?.pid;
  if (!pid) throw new Error("the machine has no QEMU process");
  const argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  await ok("vm", "stop", PROBE);
  const scratch = join(home, "hand");
  mkdirSync(scratch);
  const original = (name: string) =>
    argv.join("\n").match(new RegExp(`${home}/[^,:\n]*/${name}`))?.[0];
  const moved = ["disk.ext4", "initrd.img", "console.log", "qmp.sock", "agent.sock"].flatMap(
    (name) => {
      const from = original(name);
      return from ? [{ from, to: join(scratch, name) }] : [];
    },
  );
  const command = argv.map((word) =>
    moved.reduce((text, { from, to }) => text.replaceAll(from, to), word),
  );
  return async () => {
    for (const { from, to } of moved) {
      rmSync(to, { force: true });
      if (/\.(ext4|img)$/.test(to)) copyFileSync(from, to);
    }
    await bootByHand(command, join(dirname(scratch), "hand/agent.sock"));
  };
}

async function bootByHand(argv: string[], socket: string): Promise<void> {
  const child = Bun.spawn(argv, { stdin: "ignore", stdout: "ignore", stderr: "inherit" });
  const greeted = Promise.withResolvers<void>();
  child.exited.then((status) => greeted.reject(new Error(`QEMU ended with status ${status}`)));
  while (!existsSync(socket)) await Bun.sleep(2);
  await Bun.connect({ unix: socket, socket: { data: () => greeted.resolve() } });
  await greeted.promise;
  child.kill("SIGKILL");
  await child.exited;
}
