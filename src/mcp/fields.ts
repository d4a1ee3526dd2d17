/** Fields that several tools have, as a model sees them. */
import { z } from "zod";
import type { Vm } from "#api/vm.ts";

export const machineField = z.string().min(1).max(63).describe("Name or id of the machine.");
export const userField = z
  .string()
  .min(1)
  .max(256)
  .optional()
  .describe("User in the machine, with an optional :group. Default: root.");
export const pathField = z.string().min(1).max(4095).describe("Absolute path in the machine.");
export const omittedField = z.int().min(0).describe("How many more there are that are not listed.");

export const machineOutput = z.object({
  id: z.string(),
  name: z.string(),
  state: z.string(),
  image: z.string(),
  cpus: z.int(),
  memory_mib: z.int(),
  network: z.string(),
  address: z.string().optional().describe("Of the machine, as the host reaches it."),
  createdAt: z.string(),
  expiresAt: z.string().optional().describe("When it is removed, running or not."),
  snapshot: z.string().optional().describe("That it was created from."),
  forkOf: z.string().optional(),
});

export function machineOf(vm: Vm): z.input<typeof machineOutput> {
  const { id, name, state, image, cpus, memory_mib, network, createdAt } = vm;
  const { expiresAt, snapshot, forkOf } = vm;
  return withoutUndefined({
    ...{ id, name, state, image, cpus, memory_mib, createdAt, expiresAt, snapshot, forkOf },
    network: network.mode,
    address: network.address,
  });
}

/** JSON has no undefined, and a client checks what it gets by the schema. */
export function withoutUndefined<T extends object>(value: T): T {
  const kept = Object.entries(value).filter(([, each]) => each !== undefined);
  return Object.fromEntries(kept) as T;
}
