import { expect, test } from "bun:test";
import fc from "fast-check";
import { BangerError } from "#base/error.ts";
import { type BootRecord, decodeBootRecord, encodeBootRecord } from "./boot.ts";

const line = fc
  .string({ minLength: 1, maxLength: 40 })
  .filter((text) => /^[\x20-\x7e]+$/.test(text));

const record: fc.Arbitrary<BootRecord> = fc.record(
  {
    mode: fc.constantFrom("direct", "systemd"),
    hostname: line,
    rootfs: fc.constantFrom<BootRecord["rootfs"]>({ kind: "overlay" }, { kind: "plain" }),
    machineId: fc.stringMatching(/^[0-9a-f]{32}$/),
    modules: fc.array(line, { maxLength: 8 }),
    env: fc.dictionary(fc.stringMatching(/^[A-Z_]{1,10}$/), line),
    authorizedKeys: fc.array(line, { maxLength: 3 }),
    time_unix_ns: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    entropySeed: fc.uint8Array({ maxLength: 512 }),
    sshHostKey: line,
    searchDomain: line,
    isBuild: fc.constant(true),
    disk_bytes: fc.integer({ min: 1, max: 2 ** 50 }),
    network: fc.record(
      {
        mac: line,
        address: line,
        gateway: line,
        dns: fc.array(line, { maxLength: 3 }),
        mtu: fc.integer({ min: 1, max: 9000 }),
        isUserNetwork: fc.constant(true),
      },
      { requiredKeys: ["mac", "address", "dns"] },
    ),
  },
  {
    requiredKeys: [
      ...(["mode", "hostname", "rootfs", "machineId", "modules", "env"] as const),
      ...(["authorizedKeys", "time_unix_ns", "entropySeed"] as const),
    ],
  },
);

const minimal: BootRecord = {
  mode: "direct",
  hostname: "a",
  rootfs: { kind: "plain" },
  machineId: "0".repeat(32),
  modules: [],
  env: {},
  authorizedKeys: [],
  time_unix_ns: 0n,
  entropySeed: new Uint8Array(0),
};

test("a record comes back as it was", () => {
  fc.assert(
    fc.property(record, (one) => {
      expect(decodeBootRecord(encodeBootRecord(one))).toEqual(one);
    }),
  );
});

test("a value may not bring lines of its own", () => {
  const wrong: Partial<BootRecord>[] = [
    { hostname: "a\nb" },
    { authorizedKeys: ["key\nanother"] },
    { hosts: [{ address: "1.2.3.4", name: "x\n5.6.7.8 y" }] },
    { network: { mac: "m", address: "a", dns: ["1.1.1.1\nsearch evil"] } },
    { env: { A: "nul\0" } },
  ];
  for (const part of wrong) {
    expect(() => encodeBootRecord({ ...minimal, ...part })).toThrow(BangerError);
  }
  expect(decodeBootRecord(encodeBootRecord({ ...minimal, env: { A: "1\n2" } })).env).toEqual({
    A: "1\n2",
  });
});

test("a record that the agent would not read is refused", () => {
  const env = Object.fromEntries(
    Array.from({ length: 3000 }, (_, i) => [`A${i}`, "x".repeat(1000)]),
  );
  expect(() => encodeBootRecord({ ...minimal, env })).toThrow("too long");
});
