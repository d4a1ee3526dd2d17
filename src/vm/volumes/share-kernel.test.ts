/** Which VMM and kernel a shared directory gets, and what the user is told who cannot have one. */
import { expect, test } from "bun:test";
import type { Kernel } from "#api/kernel.ts";
import { BangerError } from "#base/error.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { withShares } from "./share-kernel.ts";

const shares = [{ source: "/src", path: "/src" }];

/** Kernels by name, with their features. */
function kernelsOf(all: Record<string, string[]>) {
  const show = async (name: string) => ({ name, features: all[name] ?? [] }) as unknown as Kernel;
  const select = async (needs: readonly string[]) => {
    const found = Object.keys(all).find((name) => needs.every((need) => all[name]?.includes(need)));
    if (found) return await show(found);
    const hint = "banger kernel pull debian-full-6.12";
    throw new BangerError("not_found", `no installed kernel has ${needs.join(", ")}`, { hint });
  };
  return { kernels: { show, select } };
}

const cloud = { "debian-6.12": ["wireguard"] };
const full = { ...cloud, "debian-full-6.12": ["9p", "wireguard"] };

test("a machine that shares a directory runs on QEMU, with a kernel that has 9p", async () => {
  const deps = kernelsOf(full);
  expect(await withShares(deps, { monitor: "firecracker" })).toEqual({ monitor: "firecracker" });
  expect(await withShares(deps, { shares })).toMatchObject({
    shares,
    monitor: "qemu",
    needs: "9p",
  });
  expect(await withShares(deps, { shares, needs: "wireguard" })).toMatchObject({
    needs: "wireguard,9p",
  });
  const kernel = "debian-full-6.12";
  expect(await withShares(deps, { shares, kernel })).toMatchObject({ kernel, monitor: "qemu" });
});

test("without QEMU or the feature the error names what to do, and what works without", async () => {
  const refusals = [
    [full, { monitor: "firecracker" as const }, "Firecracker does not support it", "--vmm qemu"],
    [full, { kernel: "debian-6.12" }, 'kernel "debian-6.12" does not have', "--kernel-ref"],
    [cloud, {}, "no installed kernel has 9p", "banger kernel pull debian-full-6.12"],
  ] as const;
  for (const [kernels, request, message, hint] of refusals) {
    const error = await bangerErrorOf(withShares(kernelsOf(kernels), { shares, ...request }));
    expect(error.code).toBe("unsupported");
    expect(error.message).toStartWith(`Cannot share a directory of the host: ${message}`);
    expect(error.hint).toContain(hint);
    expect(error.hint).toEndWith(
      "or use a copy (--workspace DIR, banger vm cp) or a volume (-v NAME:/path)",
    );
  }
});
