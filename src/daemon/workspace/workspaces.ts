/** Commands on the workspaces of machines: of one machine, one after another. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { z } from "zod";
import type { workspaceExport } from "#api/workspace/workspace.ts";
import { KeyedQueue } from "#base/queue.ts";
import type { VmService } from "#vm/service.ts";
import { type CommandOptions, workspaceCommand } from "./command.ts";
import { exportWords } from "./words.ts";

export class Workspaces {
  readonly #vms: Pick<VmService, "show">;
  readonly #queue = new KeyedQueue();

  constructor(vms: Pick<VmService, "show">) {
    this.#vms = vms;
  }

  /** The document of the command. `wordsOf`: by the machine's id. */
  async run(
    name: string,
    wordsOf: (id: string) => string[],
    options: CommandOptions,
  ): Promise<unknown> {
    const { id } = this.#vms.show(name);
    return await this.#queue.run(id, () => workspaceCommand(wordsOf(id), options));
  }

  /** The bytes of an exported file, which is complete before the first of them. */
  async *export(
    input: z.output<typeof workspaceExport>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array, void> {
    const folder = mkdtempSync(join(tmpdir(), "banger-export-"));
    const file = join(folder, "file");
    try {
      await this.run(input.name, (id) => exportWords(id, input, file), { signal });
      yield* Bun.file(file).stream();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}
