/**
 * Compares attaching a machine to the host's network and detaching it to the same devices and rules made with `ip
 * -batch` and `nft -f`, in a network namespace of its own. Then machines compare their ways out: root's tap, an
 * ordinary user's namespace, and passt. Needs root.
 */

import { newId } from "#base/id.ts";
import { addressFrom, addressOf, numberOf, parseCidr } from "#net/address.ts";
import { macAddress, tapName } from "#net/names.ts";
import { type AttachRequest, Network } from "#net/network.ts";
import { replaceTables } from "#net/nft/nft.ts";
import { renderTables } from "#net/nft/rules.ts";
import { busyboxLayout } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";
import { HTTP_PORT, SHOP, startOutside } from "#test/outside.ts";
import { giveKernel, KERNEL } from "#test/pulled-kernel.ts";
import { installForUser } from "#test/user-installation.ts";
import { printRatio, race } from "./measure.ts";

const INSIDE = "inside";
const ROUNDS = 30;
const WAY_ROUNDS = Number(process.env["ROUNDS"] ?? 5);
/** One after another, so that the command's own time does not count. */
const BIG_FILES = 5;
const SMALL_FILES = 100;
const SUBNET = parseCidr("10.241.0.0/24");

if (process.getuid?.() !== 0) {
  console.log("Skipped: it makes network devices, which takes root");
  process.exit(0);
}
if (process.argv[2] !== INSIDE) {
  // What is connected is read from /sys, which has to show the new namespace too.
  const mounted = `mount -t sysfs sysfs /sys && exec "$@"`;
  const inside = [process.execPath, import.meta.path, INSIDE];
  const argv = ["unshare", "--net", "--mount", "sh", "-c", mounted, "sh", ...inside];
  const child = Bun.spawn(argv, { stdin: "ignore", stdout: "inherit", stderr: "inherit" });
  const status = await child.exited;
  if (status === 0) await compareWaysOut();
  process.exit(status);
}

const network = new Network({ bridge: "banger0", subnet: SUBNET });
// The bridge and the program's own first time are not what a machine costs.
const resident: AttachRequest = { machineId: newId(), mode: "nat" };
await network.attach(resident);

let machineId = newId();
const tap = { mode: "nat" as const, tap: "byhand0", mac: macAddress("byhand"), networks: [] };
const address = addressFrom(4, numberOf(addressOf(SUBNET)) + 99n);
const others = [
  { ...tap, tap: tapName(resident.machineId), address: addressFrom(4, numberOf(address) + 1n) },
];
const rules = (taps: typeof others) => renderTables({ table: "byhand", bridge: "banger0", taps });

const [attach = 0, detach = 0, makeByHand = 0, removeByHand = 0] = await race(
  [
    {
      name: "attach",
      run: () => {
        machineId = newId();
        return network.attach({ machineId, mode: "nat" });
      },
    },
    { name: "detach", run: () => network.detach({ machineId, mode: "nat" }) },
    {
      name: "ip -batch and nft -f, making the same",
      run: async () => {
        await pipe(["ip", "-batch", "-"], commands());
        await replaceTables("byhand", rules([...others, { ...tap, address }]));
      },
    },
    {
      name: "ip -batch and nft -f, removing it",
      run: async () => {
        await pipe(["ip", "-batch", "-"], `link del dev ${tap.tap}\n`);
        await replaceTables("byhand", rules(others));
      },
    },
  ],
  ROUNDS,
);
const budget = (byHand: number) => `${((byHand + 15) / byHand).toFixed(2)} (15 ms above it)`;
printRatio("attach / making the same by hand", attach / makeByHand, budget(makeByHand));
printRatio("detach / removing it by hand", detach / removeByHand, budget(removeByHand));

function commands(): string {
  return [
    `tuntap add dev ${tap.tap} mode tap`,
    `link set dev ${tap.tap} alias byhand mtu 1500 addrgenmode none master banger0`,
    `link set dev ${tap.tap} type bridge_slave isolated on`,
    `link set dev ${tap.tap} up`,
    "",
  ].join("\n");
}

async function pipe(argv: string[], stdin: string): Promise<void> {
  const child = Bun.spawn(argv, {
    stdin: new TextEncoder().encode(stdin),
    stdout: "ignore",
    stderr: "inherit",
  });
  if ((await child.exited) !== 0) throw new Error(argv.join(" "));
}

/** What a guest downloads through each: large files for throughput, many small ones for latency. */
async function compareWaysOut(): Promise<void> {
  await using outside = await startOutside();
  await using root = install();
  await giveKernel(root);
  await busyboxLayout(`${root.home}/busybox`);
  const layout = `oci:${root.home}/busybox`;
  await root.ok("image", "pull", layout, "--name", "busybox", "--kernel-ref", KERNEL);
  await using user = await installForUser(outside);
  const ways: { name: string; banger: Installation; mode: string }[] = [
    { name: "tap of root", banger: root, mode: "nat" },
    { name: "namespace", banger: user, mode: "nat" },
    { name: "passt", banger: user, mode: "user" },
  ];
  const small = ["--image", "busybox", "--mode", "direct", "--memory", "192M"];
  for (const { banger, mode } of ways) {
    await banger.ok("vm", "create", "--name", `by-${mode}`, "--net", mode, ...small);
  }
  const files = [
    { path: "big", count: BIG_FILES, what: "time of 10 MB files" },
    { path: "", count: SMALL_FILES, what: "time of small files" },
  ];
  for (const { path, count, what } of files) {
    const get = `wget -q -O - http://${SHOP}:${HTTP_PORT}/${path} > /dev/null || exit 1`;
    const script = `for i in $(seq ${count}); do ${get}; done`;
    const [, namespace = 1, passt = 1] = await race(
      ways.map(({ name, banger, mode }) => ({
        name: `${count} × GET /${path}, ${name}`,
        run: () => banger.ok("vm", "exec", `by-${mode}`, "--", "sh", "-c", script),
      })),
      WAY_ROUNDS,
    );
    printRatio(`${what}, namespace / passt`, namespace / passt, path ? "1.25" : "1.2");
  }
}
