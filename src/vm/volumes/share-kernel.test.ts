/** Which VMM and kernel a shared directory gets, and what the user is told who cannot have one. */
import { expect, test } from "bun:test";
import type { Kernel } from "#api/kernel.ts";
import type { VmCreate } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import type { VmRecord } from "#vm/records.ts";
import { shareTransport, withShares } from "./share-kernel.ts";

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

const cloud = { "debian-6.12": ["fuse", "wireguard"] };
const device = { "only-9p": ["9p", "wireguard"] };
const full = { ...cloud, "debian-full-6.12": ["9p", "fuse", "wireguard"] };
const neither = { small: ["wireguard"] };

test("a machine that shares a directory gets a kernel with FUSE, whatever its VMM", async () => {
  const deps = kernelsOf(full);
  expect(await withShares(deps, { monitor: "firecracker" })).toEqual({ monitor: "firecracker" });
  expect(await withShares<VmCreate>(deps, { shares })).toEqual({ shares, needs: "fuse" });
  const request = { shares, needs: "wireguard", monitor: "firecracker" as const };
  expect(await withShares(deps, request)).toEqual({ ...request, needs: "wireguard,fuse" });
  const named = { shares, kernel: "debian-6.12" };
  expect(await withShares(deps, named)).toEqual(named);
});

test("a kernel that has 9P alone, or a need of it, is for QEMU", async () => {
  expect(await withShares(kernelsOf(device), { shares })).toMatchObject({
    ...{ needs: "9p", monitor: "qemu" },
  });
  const named = { shares, kernel: "only-9p" };
  expect(await withShares<VmCreate>(kernelsOf(device), named)).toEqual({
    ...{ ...named, monitor: "qemu" },
  });
  expect(await withShares(kernelsOf(full), { shares, needs: "9p" })).toEqual({
    ...{ shares, needs: "9p", monitor: "qemu" },
  });
});

test("a machine that starts uses 9P where both sides have it, else FUSE", async () => {
  const deps = kernelsOf(full);
  const of = async (kernel: string, name: "qemu" | "firecracker", spec = { shares }) =>
    await shareTransport(deps, { kernel, spec } as unknown as VmRecord, { name });
  expect(await of("debian-full-6.12", "qemu")).toBe("9p");
  expect(await of("debian-full-6.12", "firecracker")).toBe("fuse");
  expect(await of("debian-6.12", "qemu")).toBe("fuse");
  expect(await of("image:own", "qemu")).toBe("9p");
  expect(await of("debian-full-6.12", "qemu", { shares: [] })).toBeUndefined();
});

test("without either feature the error names what to do, and what works without", async () => {
  const refusals = [
    [device, { monitor: "firecracker" as const, needs: "9p" }, "Firecracker does not", "--vmm"],
    [device, { monitor: "firecracker" as const }, "no installed kernel has fuse", "kernel pull"],
    [neither, { kernel: "small" }, 'kernel "small" has neither', "--kernel-ref"],
    [neither, {}, "no installed kernel has fuse", "banger kernel pull debian-full-6.12"],
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
