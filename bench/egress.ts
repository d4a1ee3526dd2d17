/**
 * What the proxy of machines with a policy by name costs: the same transfers without a policy, through the proxy, and
 * through its end of TLS for the host of a secret. Taps stand for the machines, with the large frames of virtio-net.
 * Needs root.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { newId } from "#base/id.ts";
import { makeAuthority } from "#egress/intercept/certificates.ts";
import { attach } from "#test/net-calls.ts";
import { NetLab, OUTSIDE } from "#test/net-lab.ts";
import { median, printRatio } from "./measure.ts";

const ROUNDS = Number(process.env["ROUNDS"] ?? 7);
const HOST = "shop.test";
const RESOLVER_PORT = 5300;
const GATEWAY = "10.241.0.1";
const SMALL_FILES = 60;
/** Of net-http.ts. */
const BULK_MB = 128 * 1.048576;

if (process.getuid?.() !== 0) {
  console.log("Skipped: it makes network devices, which takes root");
  process.exit(0);
}

await using lab = await NetLab.create({ isOffloaded: true });
const authority = await makeAuthority(Buffer.alloc(32, 9), "the real world");
const roots = join(lab.userFolder(), "roots.pem");
writeFileSync(roots, authority.certificate);
await lab.serveHttp("outside", 80);
await lab.serveHttps("outside", 443, await authority.leaf(HOST));
await lab.resolver(RESOLVER_PORT);
const secret = {
  hosts: [HOST],
  placeholder: "banger_0123456789abcdef",
  value: "s3cr3t-value",
  roots,
};
const daemon = lab.daemon({
  dns: { resolvers: [{ address: OUTSIDE, port: RESOLVER_PORT }] },
  secret,
});
const machines = [
  { name: "none", request: {} },
  { name: "proxy", request: { allow: [HOST] } },
  { name: "intercepted", request: { allow: [HOST], secretHosts: [HOST] } },
] as const;
for (const { name, request } of machines) {
  await lab.plug(name, await attach(daemon, newId(), request as never));
}
const upload = join(lab.userFolder(), "upload");
writeFileSync(upload, Buffer.alloc(BULK_MB * 1e6));

await compare("http", ["none", "proxy"]);
await compare("https", ["none", "proxy", "intercepted"]);

async function compare(scheme: string, names: string[]): Promise<void> {
  const transfers = [
    { what: `${scheme} download`, args: [`${scheme}://${HOST}/bulk`], isBulk: true },
    {
      what: `${scheme} upload`,
      args: ["-T", upload, "-H", "Expect:", `${scheme}://${HOST}/`],
      isBulk: true,
    },
    {
      what: `${scheme} first byte`,
      args: ["-H", "Connection: close", `${scheme}://${HOST}/[1-${SMALL_FILES}]`],
      isBulk: false,
    },
  ];
  for (const { what, args, isBulk } of transfers) {
    const times = names.map((name) => ({ name, all: [] as number[] }));
    for (let round = 0; round < ROUNDS; round++) {
      for (const { name, all } of times) all.push(await curl(name, args, isBulk));
    }
    const found = Object.fromEntries(times.map(({ name, all }) => [name, median(all)]));
    for (const name of names) {
      const ms = found[name] ?? 0;
      const rate = isBulk ? `${(BULK_MB / ms).toFixed(2)} GB/s` : "";
      console.log(`${ms.toFixed(2).padStart(9)} ms  ${what}, ${name} ${rate}`);
    }
    const { none = 1, proxy = 1, intercepted } = found;
    if (isBulk) {
      printRatio(`${what}, throughput, proxy / none`, none / proxy, "0.7 at least");
      if (intercepted) {
        printRatio(`${what}, throughput, intercepted / none`, none / intercepted, "0.4 at least");
      }
    } else {
      console.log(
        `${(proxy - none).toFixed(2).padStart(9)} ms  ${what}, more by the proxy; budget 2 ms\n`,
      );
    }
  }
}

/** Milliseconds as curl measures them: of the whole transfer, or the median until the first byte. */
async function curl(name: string, args: string[], isBulk: boolean): Promise<number> {
  // The proxy lets pass what this machine has looked up.
  await lab.run(name, ["dig", "+short", `@${GATEWAY}`, HOST]);
  const resolve = ["80", "443"].flatMap((port) => ["--resolve", `${HOST}:${port}:${OUTSIDE}`]);
  const time = isBulk ? "%{time_total}" : "%{time_starttransfer}";
  const out = ["-o", "/dev/null", "-w", `%{http_code} ${time}\n`];
  const text = await lab.run(name, ["curl", "-sk", "-m", "120", ...resolve, ...out, ...args]);
  const lines = text
    .trim()
    .split("\n")
    .map((line) => line.split(" "));
  if (!lines.every(([status]) => status === "200")) throw new Error(text);
  return median(lines.map(([, seconds]) => Number(seconds) * 1000));
}
