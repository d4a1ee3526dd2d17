import { expect, test } from "bun:test";
import { z } from "zod";
import { badInput } from "./bad-input.ts";

const schema = z.object({
  memory_mib: z.int().min(64).max(2048),
  disk_bytes: z.int().min(1024 ** 3),
  grace_ms: z.int().max(3_600_000),
  cpus: z.int().min(1),
  name: z.string().max(3),
  mode: z.enum(["a", "b"]),
  labels: z
    .record(z.string().regex(/^[a-z]+$/, { error: "lower-case letters" }), z.string())
    .optional(),
});
const good = { memory_mib: 64, disk_bytes: 1024 ** 3, grace_ms: 1, cpus: 1, name: "a", mode: "a" };

test("badInput() names the field and its bound, in a unit that people write", () => {
  const said = (change: object): string => {
    const parsed = schema.safeParse({ ...good, ...change });
    if (parsed.success) throw new Error("it is valid");
    return badInput(parsed.error.issues).message;
  };
  expect(said({ memory_mib: 1 })).toBe('invalid value for "memory_mib": must be at least 64 MiB');
  expect(said({ memory_mib: 4096 })).toBe(
    'invalid value for "memory_mib": must be at most 2.0 GiB',
  );
  expect(said({ disk_bytes: 1 })).toBe('invalid value for "disk_bytes": must be at least 1.0 GiB');
  expect(said({ grace_ms: 1e9 })).toBe('invalid value for "grace_ms": must be at most 1h0m');
  expect(said({ cpus: 0 })).toBe('invalid value for "cpus": must be at least 1');
  expect(said({ name: "long" })).toBe('invalid value for "name": must have at most 3 characters');
  expect(said({ mode: "c" })).toStartWith('invalid value for "mode": Invalid option');
  expect(said({ labels: { "A B": "x" } })).toBe(
    'invalid value for "labels.A B": lower-case letters',
  );
  expect(badInput([]).message).toBe('invalid value for "": invalid value');
});
