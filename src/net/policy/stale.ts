/** Finds policies whose machine has gone: a daemon that is killed while it disconnects one leaves the table. */
import { z } from "zod";
import { readDevice } from "#net/devices.ts";
import { isTapName } from "#net/names.ts";
import { readNft, tableOwner } from "#net/nft/nft.ts";
import { emptyPolicy } from "./table.ts";

const listed = z.object({ table: z.object({ name: z.string() }) });

/**
 * The script that removes them, empty where there are none. The caller holds the network lock: a tap is always created
 * before its table.
 */
export async function emptyStalePolicies(): Promise<string> {
  const found = (await readNft(["list", "tables", "inet"])) ?? [];
  const names = found.flatMap((each) => listed.safeParse(each).data?.table.name ?? []);
  let script = "";
  for (const name of names) {
    if (!isTapName(name) || readDevice(name)) continue;
    if ((await tableOwner(name)) === "banger") script += emptyPolicy(name);
  }
  return script;
}
