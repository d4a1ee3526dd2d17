/**
 * Compares attaching a machine to the host's network and detaching it to the same devices and rules made with `ip
 * -batch` and `nft -f`. Runs in a network namespace of its own; needs root.
 */

import { newId } from "#base/id.ts";
import { addressFrom, addressOf, numberOf, parseCidr } from "#net/address.ts";
import { macAddress, tapName } from "#net/names.ts";
import { type AttachRequest, Network } from "#net/network.ts";
import { replaceTables } from "#net/nft/nft.ts";
import { renderTables } from "#net/nft/rules.ts";
import { printRatio, race } from "./measure.ts";

const INSIDE = "inside";
const ROUNDS = 30;
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
  process.exit(await child.exited);
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
