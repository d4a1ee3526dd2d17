/**
 * Runs an end-to-end demo with real commands, from a kernel to a shell in a machine, then cleans up: `make demo`.
 * Everything is in one temporary directory; only build/cache stays.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { debianLayout } from "#test/debian.ts";
import { pushLayout, type Registry, startRegistry } from "#test/registry.ts";

const VM = "testbox";
const SECOND_VM = "second";
const IDENTITY =
  "uname -n; cat /etc/machine-id /proc/sys/kernel/random/boot_id /sys/class/net/eth0/address";

process.chdir(join(import.meta.dir, ".."));
const isRoot = process.getuid?.() === 0;
const home = mkdtempSync(join(tmpdir(), "bgr-demo-"));
const times: [step: string, seconds: number][] = [];
let registry: Registry | undefined;
let child: Bun.Subprocess | undefined;
let background: Promise<unknown> | undefined;
const interrupt = new AbortController();

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    interrupt.abort();
    child?.kill("SIGINT");
  });
}

const started_ms = performance.now();
let setUpAt_ms = started_ms;
let failure: unknown;
try {
  await demo();
} catch (error) {
  failure = error;
}
const wasInterrupted = interrupt.signal.aborted;
say("Cleaning up: the machines, the daemon, the registry and their folder");
await timed("clean up", cleanUp).catch((error: unknown) => {
  failure ??= error;
});
if (wasInterrupted) {
  say("Interrupted");
  process.exit(130);
}
if (failure) {
  say(`The demo failed: ${failure instanceof Error ? failure.message : failure}`);
  process.exit(1);
}
printTimes();

async function demo(): Promise<void> {
  say(`banger works in ${home} for this demo, and nothing of it stays`);
  if (!isRoot) {
    say("--nat makes a tap and firewall rules, so banger runs through sudo here");
    await command("sudo", "-v");
  }
  say("Making a Debian minbase image with mmdebstrap, in the background");
  const layout = timed("mmdebstrap: the image for the registry (in the background)", () =>
    debianLayout({ signal: interrupt.signal }),
  );
  background = layout.catch(() => {});
  say("Building");
  await timed("make build", () => command("make", "--no-print-directory", "build"));
  await banger("kernel", "pull", "debian-6.12");

  say("Starting a registry on loopback and pushing the Debian image to it");
  const folder = await layout;
  await timed("start the registry and push", async () => {
    registry = await startRegistry();
    await pushLayout(folder, { host: registry.host, name: "library/debian", tag: "bookworm" });
  });
  setUpAt_ms = performance.now();
  const reference = `${registry?.host}/library/debian:bookworm`;
  await banger("image", "pull", reference, "--kernel-ref", "debian-6.12");
  await banger("vm", "create", "--image", "debian-bookworm", "--name", VM, "--nat");
  await banger("vm", "ssh", VM, "--", "id; uname -r; systemctl is-active banger-vsock-agent");
  await banger("vm", "run", "debian:bookworm", "--", "sh", "-c", IDENTITY);

  say(
    "The second machine of that kind is restored from the boot of the first, with its own identity",
  );
  await banger("vm", "run", "debian:bookworm", "--", "sh", "-c", IDENTITY);

  say("A second machine of the image is restored, with what the first one installed");
  await banger("vm", "create", "--image", "debian-bookworm", "--name", SECOND_VM, "--nat");
  await banger("vm", "ssh", SECOND_VM, "--", "uname -n; systemctl is-system-running");
}

/** Shows a command and runs it, with its output going where ours goes. */
async function banger(...args: string[]): Promise<void> {
  const shown = args.map((arg) => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : `"${arg}"`)).join(" ");
  console.log(`\n$ ${isRoot ? "" : "sudo "}banger ${shown}`);
  await timed(`banger ${shown}`, () => run(`banger ${shown}`, bangerArgv(args)));
}

function bangerArgv(args: string[]): string[] {
  const folders = { CONFIG: "config", STATE: "state", CACHE: "cache", RUNTIME: "run" };
  const environment = Object.entries(folders).map(([name, folder]) => {
    return `XDG_${name}_${name === "RUNTIME" ? "DIR" : "HOME"}=${join(home, folder)}`;
  });
  const sudo = isRoot ? [] : ["sudo"];
  return [...sudo, "env", `HOME=${home}`, ...environment, "build/bin/banger", ...args];
}

function command(...argv: string[]): Promise<void> {
  return run(argv.join(" "), argv);
}

async function run(shown: string, argv: string[]): Promise<void> {
  if (interrupt.signal.aborted) throw new Error("interrupted");
  child = Bun.spawn(argv, { stdin: "inherit", stdout: "inherit", stderr: "inherit" });
  const status = await child.exited;
  child = undefined;
  if (interrupt.signal.aborted) throw new Error("interrupted");
  if (status !== 0) throw new Error(`"${shown}" ended with status ${status}`);
}

async function cleanUp(): Promise<void> {
  interrupt.abort();
  await background;
  const quiet = { stdin: "ignore", stdout: "ignore", stderr: "ignore", detached: true } as const;
  for (const args of [
    ["vm", "rm", "--force", VM],
    ["vm", "rm", "--force", SECOND_VM],
    ["daemon", "stop"],
  ]) {
    await Bun.spawn(bangerArgv(args), quiet).exited;
  }
  await registry?.stop();
  if (isRoot) rmSync(home, { recursive: true, force: true });
  else await Bun.spawn(["sudo", "rm", "-rf", home], quiet).exited;
}

async function timed<T>(step: string, work: () => Promise<T>): Promise<T> {
  const from_ms = performance.now();
  const result = await work();
  times.push([step, (performance.now() - from_ms) / 1000]);
  return result;
}

function printTimes(): void {
  const now_ms = performance.now();
  times.push(["from the pull of the image to the end", (now_ms - setUpAt_ms) / 1000]);
  times.push(["all of it", (now_ms - started_ms) / 1000]);
  console.log();
  for (const [step, seconds] of times) console.log(`${seconds.toFixed(1).padStart(7)} s  ${step}`);
}

function say(text: string): void {
  console.log(`\n==> ${text}`);
}
