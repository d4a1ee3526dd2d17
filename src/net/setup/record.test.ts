import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { contains } from "#net/address.ts";
import { checkInterfaceName } from "#net/names.ts";
import { wantedTaps } from "./pool-taps.ts";
import { checkPlan, readRecord, recordPath, removeRecord, writeRecord } from "./record.ts";
import { unitText } from "./unit.ts";

const plan = checkPlan({
  bridge: "banger0",
  subnet: "10.241.0.9/24",
  user_uid: 1000,
  taps: 8,
  hostTaps: 2,
  dnsPort: 15_353,
});

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "banger-record-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

test("a record tells what was set up, until it is removed", () => {
  expect(readRecord(root)).toBeUndefined();
  writeRecord(root, plan);
  expect(readRecord(root)).toEqual(plan);
  removeRecord(root);
  removeRecord(root);
  expect(readRecord(root)).toBeUndefined();
});

test("a record that was changed into something else is refused", () => {
  mkdirSync(dirname(recordPath(root)), { recursive: true });
  const wrong: unknown[] = [
    null,
    {},
    { ...plan, taps: 0 },
    { ...plan, taps: "8" },
    { ...plan, bridge: "banger0 up" },
    { ...plan, subnet: "10.241.0.0/31" },
    { ...plan, user_uid: -1 },
  ];
  for (const each of wrong) {
    writeFileSync(recordPath(root), JSON.stringify(each));
    expect(() => readRecord(root)).toThrow("unexpected content");
  }
  writeFileSync(recordPath(root), "{");
  expect(() => readRecord(root)).toThrow("unexpected content");
});

test("wantedTaps() gives each tap an address and a name of its own, from the end of the subnet", () => {
  const taps = wantedTaps(plan, new Set());
  expect(taps.map(({ mode }) => mode).join()).toBe(`${"nat,".repeat(8)}host,host`);
  expect(taps[0]?.address as string).toBe("10.241.0.254");
  expect(new Set(taps.map(({ address }) => address)).size).toBe(10);
  expect(new Set(taps.map(({ mac }) => mac)).size).toBe(10);
  for (const { tap, address } of taps) {
    checkInterfaceName(tap);
    expect(contains(plan.subnet, address)).toBe(true);
  }
  const [first] = taps;
  if (!first) throw new Error("no tap");
  const others = wantedTaps(plan, new Set([first.address]));
  expect(others.map(({ address }) => address)).not.toContain(first.address);
  const elsewhere = wantedTaps({ ...plan, bridge: "lab-1" }, new Set());
  expect(elsewhere.map(({ tap }) => tap)).not.toContain(first.tap);
});

test("wantedTaps() refuses more taps than the subnet has addresses for", () => {
  const small = checkPlan({ ...plan, subnet: "10.241.0.0/29", taps: 5, hostTaps: 0 });
  expect(wantedTaps(small, new Set())).toHaveLength(5);
  expect(() => wantedTaps({ ...small, taps: 6 }, new Set())).toThrow("has only 5 addresses");
});

test("the unit takes a path with anything in it", () => {
  expect(unitText(['/opt/my "tools"/100%/banger'])).toContain(
    'ExecStart="/opt/my \\"tools\\"/100%%/banger" setup --restore',
  );
});
