import { expect, test } from "bun:test";
import { parseAddress } from "#net/address.ts";
import { Policies } from "./policies.ts";
import { parsePolicy } from "./policy.ts";
import { Rate } from "./rate.ts";

test("a burst passes, then so much a second, and no more is saved up than a burst", () => {
  let now_ms = 0;
  const rate = new Rate({ perSecond: 10, burst: 20 }, () => now_ms);
  const taken = (): number => Array.from({ length: 100 }, () => rate.take()).filter(Boolean).length;
  expect(taken()).toBe(20);
  now_ms += 500;
  expect(taken()).toBe(5);
  now_ms += 3_600_000;
  expect(taken()).toBe(20);
});

test("a machine with a policy asks DNS so often, whichever address it asks from, and others as often as they like", () => {
  const policies = new Policies("banger0");
  const [address, address6, other] = ["10.241.0.2", "fd00::2", "10.241.0.3"].map(parseAddress);
  if (!address || !address6 || !other) throw new Error("no addresses");
  const machine = { machineId: "m", tap: "bgr-m", bridge: "banger0", gateway: other, dnsPort: 53 };
  policies.remember({ ...machine, address, addresses6: [address6], subnets: [] }, parsePolicy([]));
  const asks = (from: typeof address) =>
    Array.from({ length: 5000 }, () => policies.mayAsk(from)).filter(Boolean).length;
  const first = asks(address);
  expect(first).toBeGreaterThanOrEqual(500);
  expect(first).toBeLessThan(5000);
  expect(asks(address6)).toBeLessThan(500);
  expect(asks(other)).toBe(5000);
  // A changed policy is no new burst.
  policies.remember({ ...machine, address, addresses6: [], subnets: [] }, parsePolicy(["a.test"]));
  expect(asks(address)).toBeLessThan(500);
});
