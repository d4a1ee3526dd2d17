/** The agent's XDP filter, which drops TCP segments without flags, run by the host's own kernel. */
import { expect } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runOk } from "#base/run.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { testNeeding } from "#test/needs.ts";

const GUEST = new URL("../../guest", import.meta.url).pathname;
const PROGRAM = new URL("../support/xdp-filter-run.c", import.meta.url).pathname;

const [FIN, SYN, RST, PSH, ACK, URG] = [1, 2, 4, 8, 16, 32];

/** Ethernet, IPv4 without options, TCP; as hexadecimal. */
function frame(change: {
  flags?: number;
  protocol?: number;
  fragment?: number;
  type?: number;
}): string {
  const { flags = 0, protocol = 6, fragment = 0, type = 0x0800 } = change;
  const bytes = Buffer.alloc(60);
  bytes.writeUInt16BE(type, 12);
  bytes.writeUInt8(0x45, 14);
  bytes.writeUInt16BE(fragment, 20);
  bytes.writeUInt8(protocol, 23);
  bytes.writeUInt8(0x50, 46);
  bytes.writeUInt8(flags, 47);
  return bytes.toString("hex");
}

testNeeding("root", "gcc")("drops segments without flags, and nothing else", async () => {
  const folder = mkdtempSync(join(tmpdir(), "banger-xdp-filter-"));
  try {
    const program = join(folder, "run");
    const sources = [PROGRAM, join(GUEST, "boot/xdpfilter.c")];
    const compile = ["gcc", "-D_GNU_SOURCE", "-Wall", "-Werror", "-I", GUEST, ...sources];
    await runOk([...compile, "-o", program], { timeout_ms: LIMIT_MS });
    const cases: [string, string][] = [
      ...[0, PSH, URG, PSH | URG].map((flags): [string, string] => [frame({ flags }), "drop"]),
      ...[ACK, SYN, FIN, RST, PSH | ACK, SYN | ACK, FIN | ACK, RST | ACK, FIN | PSH | URG].map(
        (flags): [string, string] => [frame({ flags }), "pass"],
      ),
      [frame({ protocol: 17 }), "pass"],
      [frame({ type: 0x86dd }), "pass"],
      // Of a fragment behind the first, that is no header.
      [frame({ fragment: 100 }), "pass"],
      [frame({ fragment: 0x4000 }), "drop"],
      [frame({}).slice(0, 2 * 30), "pass"],
    ];
    const stdin = `${cases.map(([bytes]) => bytes).join("\n")}\n`;
    const verdicts = await runOk([program], { stdin, timeout_ms: LIMIT_MS });
    expect(verdicts.trim().split("\n")).toEqual(cases.map(([, verdict]) => verdict));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
