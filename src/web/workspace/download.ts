/** A workspace as a file of the browser's. */
import type { Vm } from "#api/vm.ts";
import type { WorkspaceRef } from "#api/workspace/workspace.ts";
import { daemon } from "#web/link/daemon.ts";
import { runTask } from "#web/link/tasks.ts";
import { fromBase64, saveFile } from "#web/machine/transfer.ts";
import { size } from "#web/parts/format.ts";

export type Format = "patch" | "tar" | "bundle";

export async function downloadWorkspace(vm: Vm, ref: WorkspaceRef, format: Format): Promise<void> {
  await runTask(
    `Export ${vm.name} as ${format}`,
    async ({ signal, onProgress }) => {
      onProgress({ step: "export", message: "Reading the workspace" });
      const chunks: Uint8Array<ArrayBuffer>[] = [];
      let done = 0;
      for await (const { data } of await daemon.workspace.export({ ...ref, format }, { signal })) {
        const bytes = fromBase64(data);
        chunks.push(bytes);
        done += bytes.length;
        onProgress({ step: "export", message: size(done) });
      }
      saveFile(new Blob(chunks), `${vm.name}.${format}`);
    },
    { isLong: true },
  );
}
