/** Names for completion, from a running daemon. Completion never starts one. */
import { type Client, connect } from "#sdk/client.ts";
import type { Candidate, Query } from "./complete.ts";

/** A person waits for it at the prompt. */
const TIMEOUT_MS = 500;

/** Empty when there is no daemon or it takes too long. */
export async function namesOf(query: Query, socket: string): Promise<Candidate[]> {
  try {
    const candidates = await ask(query, connect({ socket }), AbortSignal.timeout(TIMEOUT_MS));
    // The shell takes these words apart, so that none but plain ones are offered.
    return candidates.filter(({ value }) => /^[\w@:./+-]+$/.test(value));
  } catch {
    return [];
  }
}

async function ask(query: Query, client: Client, signal: AbortSignal): Promise<Candidate[]> {
  switch (query.kind) {
    case "vm": {
      const vms = await client.vm.list(undefined, { signal });
      const { suffix = "" } = query;
      return vms.map((vm) => ({
        value: `${vm.name}${suffix}`,
        description: `${vm.state}, ${vm.image}`,
      }));
    }
    case "image": {
      const images = await client.image.list(undefined, { signal });
      return images.map((image) => ({ value: image.name, description: image.reference }));
    }
    case "kernel": {
      const kernels = await client.kernel.list(undefined, { signal });
      return kernels.map((kernel) => ({ value: kernel.name, description: kernel.version }));
    }
    case "snapshot": {
      const snapshots = await client.snapshot.list(undefined, { signal });
      return snapshots.map(({ name, machine, image }) => ({
        value: name,
        description: `${machine}, ${image}`,
      }));
    }
    case "network": {
      const networks = await client.network.list(undefined, { signal });
      return networks.map(({ name, machines }) => ({
        value: name,
        description: machines.join(" "),
      }));
    }
    case "secret": {
      const secrets = await client.secret.list(undefined, { signal });
      return secrets.map(({ name, kind }) => ({ value: name, description: kind }));
    }
    case "volume": {
      const volumes = await client.volume.list(undefined, { signal });
      return volumes.map(({ name, machines }) => ({
        value: name,
        description: machines.join(" "),
      }));
    }
    case "session": {
      const sessions = await client.session.list({ vm: query.vm }, { signal });
      return sessions.map(({ name, state, argv }) => ({
        value: name,
        description: `${state}, ${argv.join(" ")}`,
      }));
    }
    case "file": {
      const { vm, path, prefix } = query;
      const folder = path.slice(0, path.lastIndexOf("/") + 1);
      const entries = await client.file.list({ name: vm, path: folder || "/" }, { signal });
      return entries.map(({ name, kind }) => ({
        value: `${prefix}${folder || "/"}${name}${kind === "directory" ? "/" : ""}`,
        description: kind,
      }));
    }
    case "catalog": {
      const entries = await client.kernel.available({}, { signal });
      return entries.map((entry) => ({ value: entry.name, description: entry.description }));
    }
  }
}
