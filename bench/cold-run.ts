/**
 * Compares `banger vm run IMAGE -- true` without a template to the same QEMU (kernel, initrd and disks) started by
 * hand and killed once its guest has connected. The difference is banger's own work: finding the daemon, creating the
 * machine, running the command, cleaning up.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { busyboxLayout } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";
import { printRatio, program, race } from "./measure.ts";

const ROUNDS = 7;
const PROBE = "probe";

await using banger = install();
// The command line is replayed, so that it must have paths for all that it opens.
const config = join(banger.home, "config/banger/config.toml");
const own = 'vm.templates = "off"\nqemu_jail = "off"\n';
writeFileSync(config, own + readFileSync(config, "utf8"));
await banger.ok("kernel", "pull", "debian-6.12");
await busyboxLayout(join(banger.home, "busybox"));
await banger.ok("image", "pull", `oci:${banger.home}/busybox`, "--name", "busybox");
const byHand = await handMade(banger);
const run = ["vm", "run", "--net", "none", "busybox", "--", "true"];
await banger.ok(...run);
const [ours = 0, qemu = 1] = await race(
  [
    { name: "banger vm run busybox -- true", run: () => banger.ok(...run) },
    { name: "QEMU by hand, until its guest greets", ...byHand },
  ],
  ROUNDS,
);
printRatio("vm run / QEMU by hand", ours / qemu, "1.25");

/** The command line of a machine that banger runs, with copies of all that it writes to. */
async function handMade({ home, ok, processes }: Installation) {
  const flags = ["--image", "busybox", "--name", PROBE, "--mode", "direct", "--net", "none"];
  await ok("vm", "create", ...flags);
  const pid = processes().find(({ command }) => command.includes("qemu-system"))?.pid;
  if (!pid) throw new Error("the machine has no QEMU process");
  const argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  const hand = join(home, "hand");
  mkdirSync(hand);
  const moved = ["disk.ext4", "initrd.img", "console.log", "qmp.sock", "agent.sock"].map((name) => {
    const from = new RegExp(`${home}/[^,:\n]*/${name}`).exec(argv.join("\n"))?.[0] ?? "";
    return { from, to: join(hand, name), kept: join(home, name) };
  });
  const [disk, initrd] = moved;
  if (!disk?.from || !initrd?.from) throw new Error(`no disk or initrd in ${argv.join(" ")}`);
  await copy(initrd.from, initrd.kept);
  await ok("vm", "stop", PROBE);
  await copy(disk.from, disk.kept);
  await ok("vm", "rm", PROBE);
  const command = argv.map((word) =>
    moved.reduce((text, { from, to }) => (from ? text.replaceAll(from, to) : text), word),
  );
  return {
    prepare: async () => {
      for (const { to } of moved) rmSync(to, { force: true });
      for (const { kept, to } of [disk, initrd]) await copy(kept, to);
    },
    run: () => bootByHand(command, join(hand, "agent.sock")),
  };
}

function copy(from: string, to: string): Promise<void> {
  return program("cp", "--sparse=always", from, to);
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
