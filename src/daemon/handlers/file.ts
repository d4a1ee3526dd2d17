/** Procedures for the files of machines. */
import { FILE_PIECE_MAX_BYTES } from "#api/file.ts";
import type { Base } from "./base.ts";

export function fileHandlers({ os, stream, events, services }: Base) {
  const { files } = services;
  return {
    stat: os.file.stat.handler(({ input, signal }) => files.stat(input, signal)),
    list: os.file.list.handler(({ input, signal }) => files.list(input, signal)),
    read: os.file.read.handler(async ({ input, signal }) => {
      const data = await files.read(input, { max_bytes: FILE_PIECE_MAX_BYTES, signal });
      return { data: Buffer.from(data).toString("base64") };
    }),
    write: os.file.write.handler(async ({ input, signal }) => {
      await files.write({ ...input, data: Buffer.from(input.data, "base64") }, signal);
      return {};
    }),
    mkdir: os.file.mkdir.handler(async ({ input, signal }) => {
      await files.mkdir(input, signal);
      return {};
    }),
    remove: os.file.remove.handler(async ({ input, signal }) => {
      await files.remove(input, signal);
      return {};
    }),
    copyIn: os.file.copyIn.handler(({ input, signal }) =>
      stream(signal, (work) => files.copyIn(input, work)),
    ),
    copyOut: os.file.copyOut.handler(({ input, signal }) =>
      stream(signal, (work) => files.copyOut(input, work)),
    ),
    watch: os.file.watch.handler(({ input, signal }) => events(signal, files.watch(input, signal))),
  };
}
