/** Streams whole files from and to sandboxes; none is held in memory. */
import { posix } from "node:path";
import { Readable } from "node:stream";
import { createGunzip, createGzip } from "node:zlib";
import type { ExecOpen } from "#api/exec.ts";
import type { ExecConnection } from "#api/serve/exec-client.ts";
import { BangerError } from "#base/error.ts";
import { badRequest, E2bError, notServed } from "#e2b/errors.ts";
import { boundaryOf, readParts } from "./multipart.ts";
import type { Guests, Target } from "./target.ts";

const METADATA_PREFIX = "x-metadata-";

interface Written {
  name: string;
  type: "file";
  path: string;
}

export class Files {
  readonly #guests: Guests;

  constructor(guests: Guests) {
    this.#guests = guests;
  }

  async download(target: Target, request: Request): Promise<Response> {
    const { path: wanted, user } = queryOf(request);
    const path = await this.#guests.resolve(target, wanted, user);
    const as = await this.#as(target, user);
    const output = readOut(target, { kind: "read", vm: target.vm.id, path, ...as });
    // The failure of a file that cannot be read is the reply, as long as nothing of it was sent.
    const first = await output.next().catch((error: unknown) => {
      throw fileError(error, path);
    });
    const name = posix.basename(path).replace(/[^\x20-\x7e]|["\\]/g, "_");
    const headers = new Headers({
      "Content-Type": "application/octet-stream",
      "Content-Disposition": `inline; filename="${name}"`,
      Vary: "Accept-Encoding",
    });
    if (first.done) return new Response(null, { headers });
    const all = withFirst(first.value, output);
    if (!wantsGzip(request)) return new Response(streamOf(all), { headers });
    headers.set("Content-Encoding", "gzip");
    const packed = Readable.from(all).pipe(createGzip({ level: 1 }));
    return new Response(streamOf(bytesOf(packed)), { headers });
  }

  /** One file, or each of a multipart body by its name. */
  async upload(target: Target, request: Request): Promise<Response> {
    const { path, user } = queryOf(request);
    if ([...request.headers.keys()].some((name) => name.startsWith(METADATA_PREFIX))) {
      throw notServed("metadata of files");
    }
    const body = plainBody(request);
    const type = request.headers.get("Content-Type") ?? "";
    if (/^application\/octet-stream\b/i.test(type)) {
      if (!path) throw badRequest("path is required");
      return Response.json([await this.#write(target, { path, user }, body)]);
    }
    const boundary = boundaryOf(type);
    if (boundary === undefined) throw new E2bError(415, `unsupported content type "${type}"`);
    const written: Written[] = [];
    for await (const { name, filename, data } of readParts(body, boundary)) {
      if (name !== "file") continue;
      const own = path || filename;
      if (!own) throw badRequest("a file of the multipart body has no name");
      written.push(await this.#write(target, { path: own, user }, data));
      if (path && written.length > 1) throw badRequest("one path for more than one file");
    }
    if (written.length === 0) throw badRequest('the multipart body has no part "file"');
    return Response.json(written);
  }

  async #write(
    target: Target,
    { path: wanted, user }: { path: string; user: string | undefined },
    data: AsyncIterable<Uint8Array>,
  ): Promise<Written> {
    const path = await this.#guests.resolve(target, wanted, user);
    const as = await this.#as(target, user);
    const open = { kind: "write", vm: target.vm.id, path, ...as } as const;
    const source = data[Symbol.asyncIterator]();
    const first = await source.next();
    const all = first.done ? nothing() : withFirst(first.value, { next: () => source.next() });
    try {
      const parents = { path: posix.dirname(path), parents: true };
      await target.backend.client.file.mkdir({ name: target.vm.id, ...parents, ...as });
      await writeIn(target, open, all);
    } catch (error) {
      throw fileError(error, path);
    }
    return { name: posix.basename(path), type: "file", path };
  }

  async #as(target: Target, user: string | undefined): Promise<{ user?: string }> {
    const chosen = user ?? (await this.#guests.defaults(target)).user;
    return chosen ? { user: chosen } : {};
  }
}

export function queryOf(request: Request): { path: string; user: string | undefined } {
  const query = new URL(request.url).searchParams;
  return { path: query.get("path") ?? "", user: query.get("username") || undefined };
}

/** What the machine sends, as it is read. */
async function* readOut(
  { backend }: Target,
  open: Extract<ExecOpen, { kind: "read" }>,
): AsyncGenerator<Uint8Array, void> {
  let arrived = Promise.withResolvers<void>();
  let taken = Promise.withResolvers<void>();
  let chunk: Uint8Array | undefined;
  let isOver = false;
  let failure: unknown;
  const connection: ExecConnection = backend.exec(open, {
    async onStdout(bytes) {
      chunk = bytes;
      arrived.resolve();
      await taken.promise;
      taken = Promise.withResolvers();
    },
  });
  const end = (error?: unknown): void => {
    isOver = true;
    failure = error;
    arrived.resolve();
  };
  connection.exited.then(() => end(), end);
  try {
    for (;;) {
      await arrived.promise;
      if (chunk) {
        const bytes = chunk;
        chunk = undefined;
        arrived = Promise.withResolvers();
        if (isOver) arrived.resolve();
        yield bytes;
        taken.resolve();
      } else if (isOver) {
        if (failure !== undefined) throw failure;
        return;
      }
    }
  } finally {
    taken.resolve();
    connection.close();
  }
}

async function writeIn(
  { backend }: Target,
  open: Extract<ExecOpen, { kind: "write" }>,
  data: AsyncIterable<Uint8Array>,
): Promise<void> {
  const connection = backend.exec(open);
  try {
    await connection.started;
    for await (const bytes of data) {
      // The command no longer reads: `exited` has the reason.
      if (!(await connection.writeStdin(bytes))) break;
    }
    connection.endStdin();
    await connection.exited;
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** The body without its compression. */
function plainBody(request: Request): AsyncIterable<Uint8Array> {
  const encoding = request.headers.get("Content-Encoding")?.toLowerCase() ?? "identity";
  const body: AsyncIterable<Uint8Array> = request.body ?? nothing();
  if (encoding === "identity") return body;
  if (encoding !== "gzip") throw new E2bError(415, `unsupported content encoding "${encoding}"`);
  const packed = Readable.from(body);
  const plain = createGunzip();
  packed.on("error", (error) => plain.destroy(error));
  packed.pipe(plain);
  return gunzipped(plain);
}

async function* gunzipped(plain: Readable): AsyncGenerator<Uint8Array, void> {
  try {
    yield* bytesOf(plain);
  } catch (error) {
    if (error instanceof E2bError) throw error;
    throw badRequest("invalid gzip body");
  }
}

async function* bytesOf(source: Readable): AsyncGenerator<Uint8Array, void> {
  for await (const chunk of source) yield chunk as Uint8Array;
}

async function* nothing(): AsyncGenerator<Uint8Array, void> {}

async function* withFirst(
  first: Uint8Array,
  rest: {
    next(): Promise<IteratorResult<Uint8Array, unknown>>;
    return?(value: undefined): unknown;
  },
): AsyncGenerator<Uint8Array, void> {
  try {
    yield first;
    for (;;) {
      const { done, value } = await rest.next();
      if (done) return;
      yield value;
    }
  } finally {
    await rest.return?.(undefined);
  }
}

function streamOf(source: AsyncGenerator<Uint8Array, void>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await source.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await source.return();
    },
  });
}

/** Clients that ask for nothing else; to compress for those that merely could would cost more than it saves. */
function wantsGzip(request: Request): boolean {
  return request.headers.get("Accept-Encoding")?.trim().toLowerCase() === "gzip";
}

/** With the statuses that E2B's clients tell failures of files by. */
function fileError(error: unknown, path: string): unknown {
  if (!(error instanceof BangerError)) return error;
  if (error.code === "not_found") return new E2bError(404, `file not found: ${path}`);
  if (error.code === "no_space") return new E2bError(507, error.message);
  return error;
}
