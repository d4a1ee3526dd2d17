/** A machine with secrets trusts its own authority from its boot on. */
import { BangerError, messageOf } from "#base/error.ts";
import type { Agent } from "#guest/agent.ts";
import type { VmDeps } from "#vm/deps.ts";
import type { VmRecord } from "#vm/records.ts";
import { trustInGuest } from "./trust.ts";

export async function trustAuthority(
  { secrets: values }: Pick<VmDeps, "secrets">,
  { name, spec }: Pick<VmRecord, "name" | "spec">,
  { agent, signal }: { agent: Agent; signal?: AbortSignal | undefined },
): Promise<void> {
  const { lineage, secrets = [] } = spec;
  if (!values || lineage === undefined || secrets.length === 0) return;
  try {
    const certificate = await values.certificate(lineage);
    await trustInGuest(agent, { certificate, roots: () => values.roots(), signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw new BangerError(
      "guest",
      `Cannot install the certificate for secrets in "${name}": ${messageOf(error)}`,
      { cause: error },
    );
  }
}
