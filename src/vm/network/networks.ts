/** Named networks and their machines. The only place that writes the `networks` table. */
import type { Database } from "bun:sqlite";
import { z } from "zod";
import type { NamedNetwork } from "#api/network.ts";
import { type NetworkMode, networkMode } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { didYouMean } from "#base/similar.ts";
import { checkNetworkName, checkNetworks } from "#net/names.ts";
import { listVms } from "#vm/records.ts";

const networkRow = z.object({ name: z.string(), created_at: z.string() });

export function listNetworks(db: Database): NamedNetwork[] {
  const rows = z.array(networkRow).parse(db.query("SELECT * FROM networks ORDER BY name").all());
  const machines = listVms(db);
  return rows.map(({ name, created_at }) => ({
    name,
    machines: machines.filter(({ spec }) => spec.networks?.includes(name)).map((vm) => vm.name),
    createdAt: created_at,
  }));
}

const MODES: ReadonlySet<string> = new Set(networkMode.options);

export function getNetwork(db: Database, name: string): NamedNetwork {
  const all = listNetworks(db);
  const found = all.find((each) => each.name === name);
  if (found) return found;
  const names = all.map((each) => each.name);
  throw new BangerError("not_found", `no such network "${name}"`, {
    hint: MODES.has(name)
      ? `"${name}" is a network mode, use: --net ${name}`
      : didYouMean(name, names, `Create it with: banger network create ${name}`),
  });
}

/** `already_exists` when there is one of that name. */
export function createNetwork(db: Database, name: string): NamedNetwork {
  checkNetworkName(name);
  const { changes } = db
    .query(
      "INSERT INTO networks (name, created_at) VALUES ($name, $createdAt) ON CONFLICT DO NOTHING",
    )
    .run({ name, createdAt: new Date().toISOString() });
  if (changes > 0) return getNetwork(db, name);
  throw new BangerError("already_exists", `Cannot create network "${name}": it exists already`, {
    hint: `Show it with: banger network show ${name}`,
  });
}

/** `invalid_state` while machines are on it. */
export function removeNetwork(db: Database, name: string): void {
  db.transaction(() => {
    const { machines } = getNetwork(db, name);
    if (machines.length > 0) {
      throw new BangerError(
        "invalid_state",
        `Cannot remove network "${name}": in use by ${machines.join(", ")}`,
        {
          hint: `Disconnect the machines first: banger network disconnect ${name} ${machines.join(" ")}`,
        },
      );
    }
    db.query("DELETE FROM networks WHERE name = $name").run({ name });
  }).immediate();
}

/** Sorted, each once. `not_found`, `limit_exceeded`, and `unsupported` in a mode without a tap. */
export function requireNetworks(
  db: Database,
  { names, mode }: { names: readonly string[]; mode: NetworkMode },
): string[] {
  const checked = checkNetworks(names);
  for (const name of checked) getNetwork(db, name);
  if (checked.length === 0 || mode === "nat" || mode === "host") return checked;
  throw new BangerError(
    "unsupported",
    `Cannot connect a machine with --net ${mode} to network "${checked[0]}"`,
    { hint: "Use --net nat or --net host" },
  );
}
