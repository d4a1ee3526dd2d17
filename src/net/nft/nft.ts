/** Runs nft: replaces tables in one transaction, and identifies the owner of a table. */
import { z } from "zod";
import { BangerError } from "#base/error.ts";
import { run } from "#base/run.ts";
import { changeDenied } from "#net/rights.ts";

/** What `nft -j` prints. */
const nftOutput = z.object({ nftables: z.array(z.unknown()).optional() });

/** A busy or emulated host takes seconds. */
const NFT_TIMEOUT_MS = 60_000;

/** Marks our tables, to distinguish them from others of the same name. */
export const OWNER_MARK = "made by banger";

export type TableFamily = "inet" | "bridge";

/** The families of the tables that one bridge has. */
const FAMILIES: readonly TableFamily[] = ["inet", "bridge"];

/** Replaces the tables of this name with `rules` in one transaction. */
export async function replaceTables(table: string, rules: string): Promise<void> {
  await runNft(replacement(table, rules));
}

/** The script that does it. */
export function replacement(table: string, rules: string): string {
  return `${FAMILIES.map((family) => emptied(family, table)).join("")}${rules}`;
}

/** Together with `more` in one transaction. Idempotent. */
export async function removeTables(table: string, more = ""): Promise<void> {
  await replaceTables(table, more);
}

/** Who made the tables of this name, if there are any. */
export async function tableOwner(table: string): Promise<"nobody" | "banger" | "other"> {
  const owners = await Promise.all(FAMILIES.map((family) => ownerIn(family, table)));
  if (owners.includes("other")) return "other";
  return owners.includes("banger") ? "banger" : "nobody";
}

/** Whether our tables of this name are there in all families. */
export async function isTableWhole(table: string): Promise<boolean> {
  const owners = await Promise.all(FAMILIES.map((family) => ownerIn(family, table)));
  return owners.every((owner) => owner === "banger");
}

/** `conflict` when there is a table of this name that banger did not make. */
export async function assertTableIsOurs(table: string): Promise<void> {
  const owners = await Promise.all(FAMILIES.map((family) => ownerIn(family, table)));
  const family = FAMILIES.find((_, index) => owners[index] === "other");
  if (!family) return;
  throw new BangerError(
    "conflict",
    `Cannot set up firewall rules: nftables table "${family} ${table}" exists and was not created by banger`,
    { hint: `If it is unused, delete it: sudo nft delete table ${family} ${table}` },
  );
}

/** To delete what may not be there it is added first, since older versions have no "destroy". */
export function emptied(family: TableFamily, table: string): string {
  return `add table ${family} ${table}\ndelete table ${family} ${table}\n`;
}

/** Runs a script as one transaction: all of it takes effect, or nothing. */
export async function runNft(script: string): Promise<void> {
  const { exitCode, stderr } = await run(["nft", "-f", "-"], {
    stdin: script,
    timeout_ms: NFT_TIMEOUT_MS,
  });
  if (exitCode !== 0) throw failure(stderr);
}

/** `nft -j ARGUMENTS`, parsed; undefined where the object that they name is not there. */
export async function readNft(argv: readonly string[]): Promise<unknown[] | undefined> {
  const { exitCode, stdout, stderr } = await run(["nft", "-j", ...argv], {
    timeout_ms: NFT_TIMEOUT_MS,
  });
  if (exitCode !== 0 && isAbsent(stderr)) return undefined;
  if (exitCode !== 0) throw failure(stderr);
  return nftOutput.parse(JSON.parse(stdout)).nftables ?? [];
}

async function ownerIn(family: TableFamily, table: string): Promise<"nobody" | "banger" | "other"> {
  const { exitCode, stdout, stderr } = await run(["nft", "-t", "list", "table", family, table], {
    timeout_ms: NFT_TIMEOUT_MS,
  });
  if (exitCode !== 0 && isAbsent(stderr)) return "nobody";
  if (exitCode !== 0) throw failure(stderr);
  return stdout.includes(`comment "${OWNER_MARK}"`) ? "banger" : "other";
}

function isAbsent(stderr: string): boolean {
  return /no such file/i.test(stderr);
}

function failure(stderr: string): BangerError {
  const reason = stderr.trim().slice(0, 1000);
  if (/not permitted|permission denied/i.test(reason)) return changeDenied(reason);
  return new BangerError("internal", `Cannot set up firewall rules: nft failed: ${reason}`, {
    hint: "Check the host with: banger doctor",
  });
}
