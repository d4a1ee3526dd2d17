/**
 * A network namespace that plays the internet, with web servers on 198.51.100.2 (shop.test) and .4 (evil.test) and a
 * resolver for these names on port 53.
 */
import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { runOk } from "#base/run.ts";
import { LIMIT_MS } from "./limit.ts";

const HOST = "198.51.100.1";
export const SHOP = "198.51.100.2";
const EVIL = "198.51.100.4";
const FAR_HOST = "198.18.51.1";
export const FAR = "198.18.51.2";
const FAR_DELAY_MS = 100;
const FAR_MAC = "02:00:00:00:00:02";
export const HTTP_PORT = 8080;

export interface Outside extends AsyncDisposable {
  /** To be the daemon's own, so that machines' questions end up here. */
  readonly resolvConf: string;
  /** Starts a program, by its path, where the web servers are; waits for its "ready". */
  serve(program: string, words: string[]): Promise<void>;
}

export async function startOutside(): Promise<Outside> {
  const name = `bgrout${randomBytes(3).toString("hex")}`;
  const far = `${name}f`;
  const children: Bun.Subprocess[] = [];
  const dispose = async () => {
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(children.map((child) => child.exited));
    for (const each of [name, far]) {
      Bun.spawnSync(["ip", "link", "del", each]);
      Bun.spawnSync(["ip", "netns", "del", each]);
    }
  };
  const ip = (command: string) => runOk(["ip", ...command.split(" ")], { timeout_ms: LIMIT_MS });
  const start = async (program: string, words: string[], before: string[] = []) => {
    const path = new URL(program, import.meta.url).pathname;
    const argv = [...before, process.execPath, path, ...words];
    const child = Bun.spawn(argv, { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
    children.push(child);
    // What it says later is read on, or it would end of having nobody to say it to.
    const lines = createInterface({ input: Readable.fromWeb(child.stdout as never) });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    lines.on("line", (line) => line === "ready" && resolve());
    lines.on("close", () => reject(new Error(`${program} has ended`)));
    await promise;
  };
  const inside = (netns: string) => ["ip", "netns", "exec", netns];
  try {
    await ip(`netns add ${name}`);
    await ip(`link add ${name} type veth peer name eth0 netns ${name}`);
    await ip(`addr add ${HOST}/24 dev ${name}`);
    await ip(`link set dev ${name} up`);
    for (const address of [SHOP, EVIL]) await ip(`-n ${name} addr add ${address}/24 dev eth0`);
    for (const device of ["lo", "eth0"]) await ip(`-n ${name} link set dev ${device} up`);
    await start("./net-http.ts", ["serve", String(HTTP_PORT)], inside(name));
    await start("./dns-upstream.ts", [SHOP, "53"], inside(name));

    // Not every kernel has netem.
    await ip(`netns add ${far}`);
    await ip(`tuntap add ${far} mode tap`);
    await ip(`addr add ${FAR_HOST}/30 dev ${far}`);
    await ip(`link set dev ${far} up`);
    await start("./tap-cable.ts", [far, `/run/netns/${far}`, FAR_MAC, "0", String(FAR_DELAY_MS)]);
    await ip(`-n ${far} addr add ${FAR}/30 dev eth0`);
    await start("./net-http.ts", ["serve", String(HTTP_PORT)], inside(far));
    return {
      resolvConf: `nameserver ${SHOP}\n`,
      serve: (program, words) => start(program, words, inside(name)),
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}
