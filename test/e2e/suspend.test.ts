/** Machines that are paused, suspended and woken: what goes on where it was, what wakes them, and what is left of them. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, statSync, truncateSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { Vm } from "#api/vm.ts";
import { MiB } from "#base/size.ts";
import { pullBusybox } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";

const KIND = ["--image", "busybox", "--mode", "direct", "--memory", "192M", "--disk", "64M"];
/** Counts in the memory of one process: a number that was there before is never there again. */
const COUNT = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done";
const SERVE = "while :; do echo served | nc -l -p 80; done";

let banger: Installation;

beforeAll(async () => {
  banger = install();
  await pullBusybox(banger);
});

afterAll(async () => {
  await banger?.[Symbol.asyncDispose]();
});

async function create(name: string, ...more: string[]): Promise<Vm> {
  const net = more.includes("--net") ? [] : ["--net", "user"];
  return await banger.json<Vm>("vm", "create", "--name", name, ...KIND, ...net, ...more);
}

const show = (name: string) => banger.json<Vm>("vm", "show", name);
const inside = async (name: string, script: string) =>
  (await banger.ok("vm", "exec", name, "--", "sh", "-c", script)).trim();
const session = (vm: string, name: string, script: string) =>
  banger.ok("vm", "session", "start", vm, name, "--", "sh", "-c", script);
const vmms = () => banger.processes().filter(({ command }) => /^\S*qemu\S* -name/.test(command));
const folderOf = ({ id }: Vm) => join(banger.home, "state/banger/vms", id);
const daemonPid = () =>
  banger.processes().find(({ command }) => /daemon run/.test(command))?.pid ?? 0;

async function until(name: string, state: Vm["state"]): Promise<Vm> {
  for (;;) {
    const vm = await show(name);
    if (vm.state === state) return vm;
    await Bun.sleep(50);
  }
}

/** What the counter has printed, once it is past `least`. */
async function counted(name: string, least: number): Promise<number[]> {
  for (;;) {
    const text = await banger.ok("vm", "session", "logs", name, "counter");
    const numbers = text.trim().split("\n").map(Number);
    if ((numbers.at(-1) ?? 0) > least) return numbers;
    await Bun.sleep(50);
  }
}

/** Nothing is lost, and nothing comes twice. */
function expectInOrder(numbers: readonly number[]): void {
  expect(numbers).toEqual(numbers.map((_, index) => index + 1));
}

async function read(port: number): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1" });
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString().trim();
}

async function portOf(name: string): Promise<number> {
  return (await show(name)).network.ports?.[0]?.hostPort ?? 0;
}

test("a paused machine stands still, says how to go on, and has the time of now afterwards", async () => {
  await create("still");
  await banger.ok("vm", "exec", "-d", "still", "--", "sh", "-c", COUNT);
  await banger.ok("vm", "pause", "still");
  await banger.ok("vm", "pause", "still");
  expect(await banger.ok("vm", "list")).toMatch(/still +paused/);
  const refused = await banger.call(["vm", "exec", "still", "--", "true"]);
  expect(refused).toMatchObject({ status: 125 });
  expect(refused.stderr).toContain("it is paused\nhint: Resume it with: banger vm resume still");
  const removed = await banger.call(["vm", "rm", "still"]);
  expect(removed.stderr).toContain('Cannot remove machine "still": it is paused');
  await Bun.sleep(1500);
  await banger.ok("daemon", "stop");
  expect((await show("still")).state).toBe("paused");
  await banger.ok("vm", "resume", "still");
  const ahead_s = Number(await inside("still", "date +%s")) - Date.now() / 1000;
  expect(Math.abs(ahead_s)).toBeLessThan(5);
  await inside("still", "echo kept > /kept");
  await banger.ok("vm", "pause", "still");
  await banger.ok("vm", "stop", "still");
  expect((await show("still")).exit?.reason).toBe("poweroff");
  await banger.ok("vm", "start", "still");
  expect(await inside("still", "cat /kept")).toBe("kept");
  await banger.ok("vm", "pause", "still");
  await banger.ok("vm", "kill", "still");
  expect((await show("still")).state).toBe("stopped");
  await banger.ok("vm", "rm", "still");
});

test("a suspended machine has no process, and goes on where it was for whoever needs it", async () => {
  const vm = await create("box", "-p", "0:80");
  await session("box", "counter", COUNT);
  await session("box", "server", SERVE);
  const before = await counted("box", 3);
  await banger.ok("vm", "suspend", "box");
  await banger.ok("vm", "suspend", "box");
  expect(await banger.ok("vm", "list")).toMatch(/box +suspended/);
  expect(vmms()).toEqual([]);
  const saved = join(folderOf(vm), "suspended");
  for (const name of readdirSync(saved)) {
    expect({ name, mode: statSync(join(saved, name)).mode & 0o777 }).toMatchObject({ mode: 0o600 });
  }
  // Neither of these is a reason to wake it.
  await banger.ok("vm", "session", "logs", "box", "counter");
  await banger.ok("vm", "set", "box", "--label", "a=b", "--memory", "256M");
  await banger.ok("daemon", "stop");
  expect((await show("box")).state).toBe("suspended");
  expect(await read(await portOf("box"))).toBe("served");
  expect((await show("box")).state).toBe("running");
  expect(existsSync(saved)).toBe(false);
  const after = await counted("box", before.length + 3);
  expectInOrder(after);
  const ahead_s = Number(await inside("box", "date +%s")) - Date.now() / 1000;
  expect(Math.abs(ahead_s)).toBeLessThan(5);
  expect((await show("box")).pending).toEqual(["memory"]);

  await banger.ok("vm", "suspend", "box");
  expect(await banger.ok("vm", "ssh", "box", "--", "hostname")).toBe("box\n");
  await banger.ok("vm", "suspend", "box");
  const both = ["one", "two", "three"].map((word) => inside("box", `echo ${word}`));
  expect(await Promise.all(both)).toEqual(["one", "two", "three"]);
  expect(vmms()).toHaveLength(1);
  await banger.ok("vm", "suspend", "box");
  await banger.ok("vm", "cp", "box:/etc/hostname", join(banger.home, "hostname"));
  for (const verb of ["resume", "start"]) {
    await banger.ok("vm", "suspend", "box");
    await banger.ok("vm", verb, "box");
  }
  expectInOrder(await counted("box", after.length));
});

test("a daemon that is killed while a machine falls asleep or wakes loses nothing of it", async () => {
  await inside("box", "echo kept > /kept");
  for (let round = 0; round < 6; round++) {
    const verb = round % 2 === 0 ? "suspend" : "resume";
    const child = banger.spawn(["vm", verb, "box"]);
    const state = verb === "suspend" ? "suspending" : "waking";
    const over = child.exited.then(() => "over");
    while ((await Promise.race([over, Bun.sleep(5)])) !== "over") {
      const vm = await show("box").catch(() => undefined);
      if (vm?.state !== state) continue;
      await Bun.sleep(round * 20);
      break;
    }
    process.kill(daemonPid(), "SIGKILL");
    await over;
    expect(await inside("box", "cat /kept")).toBe("kept");
    expect(vmms()).toHaveLength(1);
    if (verb === "resume") continue;
    // Before it is to wake.
    await banger.ok("vm", "suspend", "box");
  }
  const { warning } = await show("box");
  if (!warning) expectInOrder(await counted("box", 1));
  await banger.ok("vm", "suspend", "box");
  process.kill(daemonPid(), "SIGKILL");
  expect((await show("box")).state).toBe("suspended");
  expect(await inside("box", "cat /kept")).toBe("kept");
});

test("memory that cannot be used is given up with a line, and the disk boots", async () => {
  const vm = await show("box");
  await inside("box", "echo more > /more");
  await banger.ok("vm", "suspend", "box");
  truncateSync(join(folderOf(vm), "suspended/memory"), 1000);
  const { status, stderr } = await banger.call(["vm", "resume", "box"]);
  expect(status).toBe(0);
  expect(stderr).toContain(
    'warning: Cannot restore the memory of "box", booting its disk: its memory is damaged',
  );
  expect(await inside("box", "cat /more")).toBe("more");
  expect((await show("box")).warning).toContain("its memory is damaged");
  await banger.ok("vm", "suspend", "box");
  expect(await inside("box", "cat /more")).toBe("more");
});

test("a VMM that is killed while it wakes the machine costs nothing", async () => {
  await inside("box", "echo kept > /dev/shm/kept");
  await banger.ok("vm", "suspend", "box");
  const waking = banger.spawn(["vm", "resume", "box"]);
  while (vmms().length === 0) await Bun.sleep(1);
  for (const { pid } of vmms()) process.kill(pid, "SIGKILL");
  expect(await waking.exited).not.toBe(0);
  expect((await show("box")).state).toBe("suspended");
  expect(await inside("box", "cat /dev/shm/kept")).toBe("kept");
});

test("a suspended machine is ended without being woken, which costs its memory and not its disk", async () => {
  const vm = await show("box");
  await inside("box", "echo last > /last");
  for (const verb of ["stop", "kill"]) {
    await banger.ok("vm", "suspend", "box");
    const { status, stderr } = await banger.call(["vm", verb, "box"]);
    expect(status).toBe(0);
    expect(stderr).toContain("suspended memory was discarded");
    expect(await show("box")).toMatchObject({ state: "stopped", exit: { reason: "killed" } });
    expect(existsSync(join(folderOf(vm), "suspended"))).toBe(false);
    await banger.ok("vm", "start", "box");
    expect(await inside("box", "cat /last")).toBe("last");
  }
  await banger.ok("vm", "suspend", "box");
  const waking = banger.spawn(["vm", "resume", "box"]);
  await Bun.sleep(100);
  await banger.ok("vm", "rm", "--force", "box");
  await waking.exited;
  expect(existsSync(folderOf(vm))).toBe(false);
  const { id } = await create("gone");
  await banger.ok("vm", "suspend", "gone");
  await banger.ok("vm", "rm", "gone");
  expect(existsSync(join(banger.home, "state/banger/vms", id))).toBe(false);
  expect(vmms()).toEqual([]);
});

test("--idle-suspend suspends a machine that nobody uses, and its command goes on when it wakes", async () => {
  const command = `${COUNT.replace("do ", "do [ $i -lt 40 ] || exit 3; ")}`;
  const args = ["--name", "idle", ...KIND, "--net", "user", "--idle-suspend", "2s"];
  await banger.ok("vm", "create", ...args, "--", "sh", "-c", command);
  expect((await show("idle")).idleSuspend_ms).toBe(2000);
  await until("idle", "suspended");
  const ended = banger.ok("vm", "wait", "idle");
  await banger.ok("vm", "set", "idle", "--idle-suspend", "never");
  await banger.ok("vm", "resume", "idle");
  expect((await ended).trim()).toBe("poweroff (status 3)");
  const numbers = (await banger.ok("vm", "logs", "idle")).trim().split("\n").map(Number);
  expectInOrder(numbers);
  expect(numbers).toHaveLength(40);
  const refused = await banger.call(["vm", "suspend", "idle"]);
  expect(refused.stderr).toContain('Cannot suspend machine "idle": it is stopped');
});

test("a machine with a tap of its own keeps its addresses and limits, and is reached there after it was woken", async () => {
  const vm = await create("tap", "--net", "nat", "-p", "0:80", "--net-bandwidth", "8M:4M");
  await session("tap", "server", SERVE);
  const addresses = "ip -4 addr show eth0 | grep inet; cat /sys/class/net/eth0/address";
  const before = await inside("tap", addresses);
  await banger.ok("vm", "suspend", "tap");
  expect((await show("tap")).network.address).toBe(vm.network.address as string);
  expect(await read(await portOf("tap"))).toBe("served");
  expect(await inside("tap", addresses)).toBe(before);
  expectRates(vm, [8, 4]);
  await banger.ok("vm", "set", "tap", "--net-bandwidth", "none:2M");
  expect((await show("tap")).limits).toEqual({ net_out_bytes_per_s: 2 * MiB });
  expectRates(vm, [undefined, 2]);
  const attached = banger.spawn(["vm", "exec", "tap", "--", "sleep", "1000"]);
  while (!(await inside("tap", "ps")).includes("sleep 1000")) await Bun.sleep(50);
  await banger.ok("vm", "suspend", "tap");
  expect(await attached.exited).toBe(125);
  expect(await new Response(attached.stderr).text()).toContain('machine "tap" was suspended');
  await banger.ok("vm", "rm", "tap");
});

/** Of the devices that limit what it receives and sends, in MiB a second; a user's are in a namespace. */
function expectRates({ id }: Vm, wanted: (number | undefined)[]): void {
  if (process.getuid?.() !== 0) return;
  const rates = ["bgr", "bgi"].map((prefix) => {
    const device = `${prefix}-${id.slice(0, 8)}`;
    const { stdout } = Bun.spawnSync(["tc", "-json", "qdisc", "show", "dev", device]);
    const queues = JSON.parse(stdout.toString()) as { options: { rate?: number } }[];
    return queues.flatMap(({ options }) => options.rate ?? [])[0];
  });
  expect(rates).toEqual(wanted.map((each) => each && each * MiB));
}

test("over TCP, a token makes a machine of its own, runs commands in it, and reaches its ports, which wakes it", async () => {
  const server = banger.spawn(["serve", "--listen", "127.0.0.1:0"]);
  const url = (await firstLine(server.stdout)).trim();
  const secret = async (scope: string) =>
    (await banger.ok("token", "create", "-q", "--scope", scope)).trim();
  const [own, other, read] = [await secret("own"), await secret("own"), await secret("read")];
  const ask = (path: string, token: string, init: RequestInit = {}) => {
    const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
    return fetch(`${url}${path}`, { ...init, headers: { ...headers, ...init.headers } });
  };
  const [image, memory_mib, disk_bytes] = ["busybox", 192, 64 * 1024 ** 2];
  const wanted = {
    name: "over-tcp",
    image,
    mode: "direct",
    memory_mib,
    disk_bytes,
    network: "user",
  };
  const made = await ask("/v1/vms", own, { method: "POST", body: JSON.stringify(wanted) });
  expect(await made.text()).toContain("event: done");
  const { token } = await show("over-tcp");
  const tokens = await banger.json<{ id: string; usedAt?: string }[]>("token", "list");
  expect(tokens.find(({ id }) => id === token)?.usedAt).toBeDefined();
  expect((await ask("/v1/vms/over-tcp", other)).status).toBe(404);
  expect(await (await ask("/v1/vms", other)).json()).toEqual([]);

  const serve = `while :; do printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 6\\r\\n\\r\\nserved' | nc -l -p 81; done`;
  await session("over-tcp", "server", serve);
  expect(await execOverTcp(url, own, "echo $((6 * 7))")).toBe("42\n");
  await expect(execOverTcp(url, other, "true")).rejects.toThrow("no such machine");
  const host = { headers: { Host: "81-over-tcp.localhost" } };
  // Between two clients, nobody listens there.
  const port = async (token: string): Promise<Response> => {
    const answer = await ask("/", token, host);
    return answer.status === 503 ? await port(token) : answer;
  };
  expect(await (await port(own)).text()).toBe("served");
  await banger.ok("vm", "suspend", "over-tcp");
  expect((await port(other)).status).toBe(404);
  expect((await ask("/v1/vms/over-tcp/processes", read)).status).toBe(409);
  expect((await show("over-tcp")).state).toBe("suspended");
  expect(await (await port(own)).text()).toBe("served");
  expect((await show("over-tcp")).state).toBe("running");

  server.kill("SIGINT");
  expect(await server.exited).toBe(130);
  await expect(ask("/v1/vms", own)).rejects.toThrow();
  await banger.ok("vm", "rm", "--force", "over-tcp");
});

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const chunk of stream) {
    text += Buffer.from(chunk).toString();
    if (text.includes("\n")) break;
  }
  return text;
}

/** What the command prints, as a client has it that speaks the protocol of src/api/exec.ts. */
async function execOverTcp(url: string, token: string, script: string): Promise<string> {
  const web = new WebSocket(`${url.replace("http", "ws")}/v1/exec`, [
    "banger.exec.v1",
    `banger.token.${token}`,
  ]);
  web.binaryType = "arraybuffer";
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let out = "";
  web.onopen = () => {
    const exec = { argv: ["sh", "-c", script] };
    web.send(JSON.stringify({ kind: "exec", vm: "over-tcp", exec }));
  };
  web.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
    if (typeof data !== "string") out += Buffer.from(data).subarray(1).toString();
    else if (data.includes('"error"')) reject(new Error(data));
    else if (data.includes('"exit"')) resolve(out);
  };
  web.onclose = () => reject(new Error("closed"));
  return await promise;
}
