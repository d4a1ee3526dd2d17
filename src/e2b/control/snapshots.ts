/** Snapshots of sandboxes, which are templates of new ones. */
import { z } from "zod";
import type { Snapshot } from "#api/snapshot.ts";
import { snapshotName } from "#api/vm.ts";
import type { Backend } from "#e2b/backend.ts";
import { check } from "#e2b/body.ts";
import { notFound } from "#e2b/errors.ts";
import type { Sandbox } from "#e2b/record.ts";
import { finish } from "#sdk/stream.ts";
import { pageOf, pageReply } from "./list.ts";
import { findSandbox } from "./sandboxes.ts";

export const snapshotRequest = z.object({ name: z.string().max(255).nullish() });

export async function createSnapshot(
  { client }: Backend,
  { vm }: Sandbox,
  { name, signal }: { name: string | null | undefined; signal: AbortSignal },
): Promise<Response> {
  if (name) check(z.object({ name: snapshotName }), { name });
  const wanted = { name: vm.id, ...(name ? { snapshot: name } : {}) };
  // The memory of one that is paused is saved from its VMM, and it is paused again.
  const isAsleep = vm.state === "suspended";
  if (isAsleep) await finish(client.vm.resume({ name: vm.id }, { signal }));
  try {
    const { snapshot } = await finish(client.snapshot.create(wanted, { signal }));
    return Response.json(toInfo(snapshot), { status: 201 });
  } finally {
    if (isAsleep) await finish(client.vm.suspend({ name: vm.id }));
  }
}

export async function listSnapshots(backend: Backend, query: URLSearchParams): Promise<Response> {
  const all = await backend.client.snapshot.list();
  const id = query.get("sandboxID");
  const machine = id ? (await findSandbox(backend, id)).vm.name : undefined;
  const name = query.get("name");
  const matching = all
    .filter((each) => machine === undefined || each.machine === machine)
    .filter((each) => !name || each.name === name)
    .sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
  const { page, next } = pageOf(matching, query, (each) => each.name);
  return pageReply(page.map(toInfo), next);
}

/** A snapshot, or an image that is there. */
export async function removeTemplate({ client }: Backend, template: string): Promise<void> {
  const snapshots = await client.snapshot.list();
  if (snapshots.some(({ name }) => name === template)) {
    await client.snapshot.remove({ name: template });
    return;
  }
  const images = await client.image.list();
  if (!images.some(({ name }) => name === template)) {
    throw notFound(`template "${template}" not found`);
  }
  await client.image.remove({ name: template });
}

function toInfo({ name }: Snapshot) {
  return { snapshotID: name, names: [name] };
}
