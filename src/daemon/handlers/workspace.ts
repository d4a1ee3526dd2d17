/** Procedures for projects in machines. */
import { z } from "zod";
import {
  type WorkspaceStatus,
  workspace,
  workspaceCheckpoint,
  workspaceImported,
  workspacePatch,
  workspaceRestored,
  workspaceStatus,
} from "#api/workspace/workspace.ts";
import { checkpointWords, diffWords, importWords, refWord } from "#daemon/workspace/words.ts";
import type { Base } from "./base.ts";

const checkpoints = z.array(z.object({ number: z.int() })).min(1);

export function workspaceHandlers({ os, stream, eventsLater, services }: Base) {
  return {
    list: os.workspace.list.handler(async ({ input, signal }) =>
      z
        .array(workspace)
        .parse(await services.workspaces.run(input.name, (id) => ["list", id], { signal })),
    ),
    import: os.workspace.import.handler(({ input, signal }) =>
      stream(signal, async (work) =>
        workspaceImported.parse(
          await services.workspaces.run(input.name, (id) => importWords(id, input), work),
        ),
      ),
    ),
    status: os.workspace.status.handler(async ({ input, signal }) => {
      const words = (id: string) => ["status", refWord(id, input)];
      return statusOf(await services.workspaces.run(input.name, words, { signal }));
    }),
    diff: os.workspace.diff.handler(async ({ input, signal }) => {
      const words = (id: string) => diffWords(id, input);
      const document = await services.workspaces.run(input.name, words, { signal });
      return z.array(workspacePatch).parse(document);
    }),
    export: os.workspace.export.handler(({ input, signal }) => {
      async function* pieces(): AsyncGenerator<{ data: string }, void> {
        for await (const bytes of services.workspaces.export(input, signal)) {
          yield { data: Buffer.from(bytes).toString("base64") };
        }
      }
      return eventsLater(signal, pieces());
    }),
    checkpoints: os.workspace.checkpoints.handler(async ({ input, signal }) => {
      const words = (id: string) => ["log", refWord(id, input)];
      const document = await services.workspaces.run(input.name, words, { signal });
      return z.array(workspaceCheckpoint).parse(document);
    }),
    checkpoint: os.workspace.checkpoint.handler(async ({ input, signal }) => {
      const words = (id: string) => checkpointWords(id, input);
      const document = await services.workspaces.run(input.name, words, { signal });
      const [first] = checkpoints.parse(document);
      return { number: first?.number ?? 0 };
    }),
    restore: os.workspace.restore.handler(async ({ input, signal }) => {
      const words = (id: string) => ["restore", refWord(id, input), String(input.checkpoint)];
      const document = await services.workspaces.run(input.name, words, { signal });
      return z.array(workspaceRestored).parse(document);
    }),
  };
}

/** A repository is listed with its changes, a directory is the list of them. */
function statusOf(document: unknown): WorkspaceStatus {
  const isRepository =
    Array.isArray(document) &&
    document.some((each) => typeof each === "object" && each !== null && "changes" in each);
  return workspaceStatus.parse(
    isRepository
      ? { kind: "repository", repositories: document }
      : { kind: "folder", changes: document },
  );
}
