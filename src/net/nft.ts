/** The nftables rules: one table, rendered whole from what is wanted and replaced in one transaction. */
import { BangerError } from "#base/error.ts";
import { run } from "#base/run.ts";
import type { MachineTap } from "./devices.ts";
import { changeDenied } from "./rights.ts";

const NFT_TIMEOUT_MS = 10_000;
/** Tells our table from one of the same name that somebody else made. */
const OWNER_MARK = "made by banger";

export interface RuleState {
  table: string;
  bridge: string;
  machines: readonly MachineTap[];
}

/**
 * The whole table as nft prints it. Other tables can still drop what this one accepts: in
 * nftables an accept ends only its own chain.
 */
export function renderTable({ table, bridge, machines }: RuleState): string {
  const outward = machines.filter(({ mode }) => mode === "nat").map(({ address }) => address);
  const elements = outward.length > 0 ? [`\t\telements = { ${outward.join(", ")} }`] : [];
  return [
    `table inet ${table} {`,
    `\tcomment "${OWNER_MARK}"`,
    "\tset nat_machines {",
    "\t\ttype ipv4_addr",
    ...elements,
    "\t}",
    "",
    "\tchain forward {",
    "\t\ttype filter hook forward priority filter; policy accept;",
    `\t\tiifname "${bridge}" oifname "${bridge}" drop`,
    `\t\tiifname "${bridge}" ip saddr @nat_machines accept`,
    `\t\tiifname "${bridge}" drop`,
    `\t\toifname "${bridge}" ct state established,related accept`,
    `\t\toifname "${bridge}" drop`,
    "\t}",
    "",
    "\tchain postrouting {",
    "\t\ttype nat hook postrouting priority srcnat; policy accept;",
    `\t\tip saddr @nat_machines oifname != "${bridge}" masquerade`,
    "\t}",
    "}",
    "",
  ].join("\n");
}

/** Puts the table in the place of the one that is there, if any; nobody sees the moment between. */
export async function replaceTable(state: RuleState): Promise<void> {
  await nft(`${emptied(state.table)}${renderTable(state)}`);
}

/** Idempotent. */
export async function removeTable(table: string): Promise<void> {
  await nft(emptied(table));
}

/** Who made the table of this name, if there is one. */
export async function tableOwner(table: string): Promise<"nobody" | "banger" | "other"> {
  const { exitCode, stdout, stderr } = await run(["nft", "-t", "list", "table", "inet", table], {
    timeout_ms: NFT_TIMEOUT_MS,
  });
  if (exitCode !== 0 && /no such file/i.test(stderr)) return "nobody";
  if (exitCode !== 0) throw failure(stderr);
  return stdout.includes(`comment "${OWNER_MARK}"`) ? "banger" : "other";
}

/** `conflict` when there is a table of this name that banger did not make. */
export async function assertTableIsOurs(table: string): Promise<void> {
  if ((await tableOwner(table)) !== "other") return;
  throw new BangerError(
    "conflict",
    `Cannot set up the rules: there is an nftables table "inet ${table}" that banger did not make`,
    { hint: `If nobody needs it: sudo nft delete table inet ${table}` },
  );
}

/** To delete what may not be there it is added first, since older versions have no "destroy". */
function emptied(table: string): string {
  return `add table inet ${table}\ndelete table inet ${table}\n`;
}

async function nft(script: string): Promise<void> {
  const { exitCode, stderr } = await run(["nft", "-f", "-"], {
    stdin: script,
    timeout_ms: NFT_TIMEOUT_MS,
  });
  if (exitCode !== 0) throw failure(stderr);
}

function failure(stderr: string): BangerError {
  const reason = stderr.trim().slice(0, 1000);
  if (/not permitted|permission denied/i.test(reason)) return changeDenied(reason);
  return new BangerError("internal", `Cannot set up the rules: nft says: ${reason}`, {
    hint: "See what is missing with: banger doctor",
  });
}
