/** Lists what an installation has on the host, and whether each piece has a record. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Image } from "#api/image.ts";
import type { Kernel } from "#api/kernel.ts";
import type { Vm } from "#api/vm.ts";
import { STAGING_MARK } from "#base/files/atomic.ts";
import { lastHolder } from "#config/holder.ts";
import type { Installation } from "#test/installation.ts";
import { LIMIT_MS } from "#test/limit.ts";

const SETTLE_TIMEOUT_MS = LIMIT_MS;
/** For what a client that is just ending still holds. */
const GRACE_MS = 5000;

export interface Records {
  machines: Vm[];
  images: Image[];
  kernels: Kernel[];
}

export function daemonPid(banger: Installation): number {
  return lastHolder(join(banger.home, "state/banger/daemon.lock"))?.pid ?? Number.NaN;
}

/** The records once no machine is on its way any more; starts a daemon when there is none. */
export async function settledRecords(banger: Installation): Promise<Records> {
  const deadline_ms = performance.now() + SETTLE_TIMEOUT_MS;
  for (;;) {
    const machines = await banger.json<Vm[]>("vm", "list");
    const isSettled = machines.every(({ state }) => state === "running" || state === "stopped");
    if (isSettled || performance.now() > deadline_ms) {
      const images = await banger.json<Image[]>("image", "list");
      const kernels = await banger.json<Kernel[]>("kernel", "list");
      return { machines, images, kernels };
    }
    await Bun.sleep(100);
  }
}

/** The settled records, and what contradicts them, in words; looks again at both for a while before it complains. */
export async function inspect(
  banger: Installation,
): Promise<{ records: Records; contradictions: string[] }> {
  const deadline_ms = performance.now() + GRACE_MS;
  for (;;) {
    const records = await settledRecords(banger);
    const contradictions = look(banger, records);
    if (contradictions.length === 0 || performance.now() > deadline_ms) {
      return { records, contradictions };
    }
    await Bun.sleep(100);
  }
}

function look({ home, processes }: Installation, { machines, images, kernels }: Records): string[] {
  const state = join(home, "state/banger");
  const running = machines.filter(({ state }) => state === "running");
  const onBridge = running.filter(({ network }) => network.mode === "nat");
  const bridge = home.slice("/tmp/".length);
  const { pid = Number.NaN, supervisor } = lastHolder(join(state, "daemon.lock")) ?? {};
  const daemon = supervisor === undefined ? [pid] : [pid, supervisor];
  return [
    ...machines
      .filter((vm) => vm.state !== "running" && vm.state !== "stopped")
      .map((vm) => `machine ${vm.name} stays ${vm.state}`),
    ...compare("process", {
      is: processes().map(({ pid }) => String(pid)),
      must: [...daemon, ...running.map(({ vmm }) => vmm?.pid)].map(String),
    }),
    ...compare("machine folder", { is: list(state, "vms"), must: machines.map(({ id }) => id) }),
    ...compare("runtime folder", {
      is: list(home, "run/banger/vm"),
      must: running.map(({ id }) => id),
    }),
    ...compare("image folder", { is: list(state, "images"), must: images.map(({ id }) => id) }),
    ...compare("kernel folder", {
      is: list(state, "kernels"),
      must: kernels.map(({ name }) => name),
    }),
    ...compare("tap", {
      is: list(`/sys/class/net/${bridge}`, "brif").map((tap) => machineOf(tap)),
      must: onBridge.map(({ id }) => id),
    }),
    ...compare("bridge", {
      is: existsSync(`/sys/class/net/${bridge}`) ? [bridge] : [],
      must: onBridge.length > 0 ? [bridge] : [],
    }),
    ...compare("nftables table", {
      is: tables().filter((name) => name === `banger_${bridge}`),
      must: onBridge.length > 0 ? [`banger_${bridge}`] : [],
    }),
    ...["state", "cache", "run"].flatMap((root) => staging(join(home, root))),
    ...readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .filter((line) => line.includes(`${home}/`))
      .map((line) => `mount ${line}`),
    ...Bun.spawnSync(["losetup", "--list", "--noheadings", "--output", "BACK-FILE"])
      .stdout.toString()
      .split("\n")
      .filter((line) => line.includes(`${home}/`))
      .map((line) => `loop device of ${line}`),
  ];
}

function compare(what: string, { is, must }: { is: string[]; must: string[] }): string[] {
  return [
    ...is.filter((each) => !must.includes(each)).map((each) => `${what} of nothing: ${each}`),
    ...must.filter((each) => !is.includes(each)).map((each) => `${what} is missing: ${each}`),
  ];
}

function list(folder: string, name: string): string[] {
  const path = join(folder, name);
  return existsSync(path) ? readdirSync(path) : [];
}

function machineOf(tap: string): string {
  const path = `/sys/class/net/${tap}/ifalias`;
  return existsSync(path) ? (readFileSync(path, "utf8").split(":")[2] ?? tap) : tap;
}

function tables(): string[] {
  const listed = Bun.spawnSync(["nft", "list", "tables"]).stdout.toString();
  return listed.split("\n").map((line) => line.split(" ").at(-1) ?? "");
}

function staging(root: string): string[] {
  if (!existsSync(root)) return [];
  return (readdirSync(root, { recursive: true }) as string[])
    .filter((path) => path.split("/").at(-1)?.startsWith(STAGING_MARK))
    .map((path) => `half-made ${join(root, path)}`);
}
