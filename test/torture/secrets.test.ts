/** Secrets of a real machine: used, and nowhere in it, nor in what is kept of it. */
import { afterAll, beforeAll, expect } from "bun:test";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hexOf, sha256 } from "#base/digest.ts";
import { makeAuthority } from "#egress/intercept/certificates.ts";
import { busyboxLayout } from "#test/busybox.ts";
import { startDaemonWith } from "#test/daemon-resolver.ts";
import { hostPrograms } from "#test/host-program.ts";
import { type Installation, install } from "#test/installation.ts";
import { testNeeding } from "#test/needs.ts";
import { type Outside, SHOP, startOutside } from "#test/outside.ts";
import { giveKernel, KERNEL } from "#test/pulled-kernel.ts";

const ECHO = new URL("../support/echo-https.ts", import.meta.url).pathname;
/** A disk of the default size has 20 GB to search. */
const SMALL = ["--image", "busybox", "--mode", "direct", "--memory", "192M", "--disk", "64M"];
const machineTest = testNeeding("root", "ip", "nft", "unshare", "curl");

let banger: Installation;
let outside: Outside;

beforeAll(async () => {
  banger = install();
  if (process.getuid?.() !== 0) return;
  outside = await startOutside();
  await giveKernel(banger);
  const more = [await hostPrograms("curl")];
  await busyboxLayout(join(banger.home, "busybox"), { more });
  const layout = `oci:${banger.home}/busybox`;
  await banger.ok("image", "pull", layout, "--name", "busybox", "--kernel-ref", KERNEL);
  await banger.ok("daemon", "stop");
  await serveSecurely();
  const env = { SSL_CERT_FILE: join(banger.home, "roots.pem") };
  await startDaemonWith(banger, { resolvConf: outside.resolvConf, env });
});

afterAll(async () => {
  // Its server has files of the installation.
  await outside?.[Symbol.asyncDispose]();
  await banger?.[Symbol.asyncDispose]();
});

machineTest(
  "a machine uses a secret that is nowhere in it, nor in what is kept of it",
  async () => {
    const value = `value-${randomBytes(12).toString("hex")}`;
    const create = ["vm", "create", "--name", "keeper", "--nat", ...SMALL];
    const given = ["--secret", "TOKEN=env:VALUE_OF_TEST@shop.test"];
    const made = await banger.call([...create, ...given], { env: { VALUE_OF_TEST: value } });
    expect(made).toMatchObject({ status: 0 });
    expect(await inside("keeper", "echo $TOKEN")).toMatch(/^banger_[0-9a-f]{32}\n$/);
    await expectServed("keeper", value);

    const header = `-H "X-Other: $TOKEN"`;
    const refused = await inside("keeper", curl(`${header} https://shop.test/`));
    expect(refused).toBe("banger: secret TOKEN is not allowed in header x-other\n");
    const plain = await inside("keeper", curl(`-H "Authorization: $TOKEN" http://shop.test:8080/`));
    expect(plain).not.toContain(hexOf(sha256(value)));
    const log = await banger.ok("vm", "policy", "log", "keeper", "--json");
    expect(log).toContain("secret TOKEN is not allowed in header x-other");

    await banger.ok("vm", "snapshot", "create", "keeper", "kept");
    await banger.ok("vm", "fork", "keeper", "--name", "keeper-2");
    await expectServed("keeper-2", value);
    const keyring = join(banger.home, "config/banger/secrets.json");
    expect(readFileSync(keyring, "utf8")).toContain(value);
    // Memory and disk of the machines, the store, and everything else that the daemon writes.
    expect(await filesWith(value)).toEqual([keyring]);
    const placeholder = (await inside("keeper", "echo $TOKEN")).trim();
    expect((await filesWith(placeholder)).some((path) => path.includes("memory"))).toBe(true);
    await banger.ok("vm", "rm", "--force", "keeper", "keeper-2");
    expect(readFileSync(keyring, "utf8")).not.toContain(value);
  },
);

/** By both versions of HTTP; the value that comes back is covered. */
async function expectServed(name: string, value: string): Promise<void> {
  const sent = hexOf(sha256(`Bearer ${value}`));
  const covered = "*".repeat(value.length);
  for (const [flag, version] of [
    ["--http1.1", "1.1"],
    ["--http2", "2.0"],
  ]) {
    const request = `${flag} -H "Authorization: Bearer $TOKEN" https://shop.test/`;
    expect(await inside(name, curl(request))).toBe(`${version} ${sent} Bearer ${covered}\n`);
  }
}

function curl(words: string): string {
  return `/tools/curl -sS -m 120 ${words}`;
}

/** Output and errors of a shell in a machine, whatever its status. */
async function inside(name: string, script: string): Promise<string> {
  const { stdout, stderr } = await banger.call(["vm", "exec", name, "--", "sh", "-c", script]);
  return stdout + stderr;
}

/** Files of the installation that have the text in them. */
async function filesWith(text: string): Promise<string[]> {
  const child = Bun.spawn(["grep", "-rlaF", text, banger.home], {
    stdout: "pipe",
    stderr: "ignore",
  });
  const found = await new Response(child.stdout).text();
  return found.split("\n").filter((line) => line !== "");
}

/** A server at shop.test with a certificate that the daemon trusts. */
async function serveSecurely(): Promise<void> {
  const world = await makeAuthority(randomBytes(32), "the world");
  const { cert, key } = await world.leaf("shop.test");
  const path = (name: string) => join(banger.home, name);
  writeFileSync(path("roots.pem"), world.certificate);
  writeFileSync(path("cert.pem"), cert);
  writeFileSync(path("key.pem"), key);
  await outside.serve(ECHO, [SHOP, path("cert.pem"), path("key.pem")]);
}
