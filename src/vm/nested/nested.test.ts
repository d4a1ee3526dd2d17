import { expect, test } from "bun:test";
import type { VmCreate } from "#api/vm.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import type { VmDeps } from "#vm/deps.ts";
import { withNested } from "./nested.ts";

const features: Record<string, string[]> = { plain: ["kvm"], host: ["kvm", "kvm-host"] };
const deps = {
  kernels: { show: async (name: string) => ({ name, features: features[name] ?? [] }) },
} as unknown as Pick<VmDeps, "kernels">;
const nested: VmCreate = { nested: true };
const none = () => undefined;

test("a nested machine gets QEMU and a kernel that runs machines", async () => {
  expect(await withNested(deps, { needs: "fuse" }, none)).toEqual({ needs: "fuse" });
  expect(await withNested(deps, nested, none)).toEqual({
    nested: true,
    monitor: "qemu",
    needs: "kvm-host",
  });
  const both = await withNested(deps, { nested: true, needs: "fuse" }, none);
  expect(both.needs).toBe("fuse,kvm-host");
  const named = await withNested(deps, { ...nested, kernel: "host" }, none);
  expect(named).toEqual({ nested: true, kernel: "host", monitor: "qemu" });
});

test("is refused with the reason where it cannot be", async () => {
  const disabled = () => ({ reason: "it is disabled in kvm_amd on this host", fix: "modprobe" });
  const failures = [
    [{ nested: true }, disabled, "it is disabled in kvm_amd on this host", "modprobe"],
    [{ nested: true, monitor: "firecracker" }, none, "Firecracker does not", "Use --vmm qemu"],
    [{ nested: true, kernel: "plain" }, none, 'kernel "plain" does not have', "Omit --kernel-ref"],
  ] as const;
  for (const [request, findProblem, reason, hint] of failures) {
    const error = await bangerErrorOf(withNested(deps, request, findProblem));
    expect([error.code, error.message, error.hint]).toEqual([
      "unsupported",
      expect.stringContaining(`with nested virtualization: ${reason}`),
      expect.stringContaining(hint),
    ]);
  }
});
