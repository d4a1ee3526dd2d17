/** Mutates a guest's bytes for the host's parser, which must end with results or BangerErrors. */
import { Duplex } from "node:stream";
import { BangerError } from "#base/error.ts";
import { connectAgent } from "#guest/agent.ts";
import { FieldWriter } from "#guest/fields.ts";
import { encodeFrame, FrameParser } from "#guest/frame.ts";
import { FrameType, NONCE_BYTES, SYNC_MAGIC, Tag } from "#guest/protocol.ts";

const INPUT_MAX_BYTES = 16_384;
const features = ["exec", "files", "ports", "stats", "sessions", "watch", "processes"];

/** Numbers that are the same for the same seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed ^ 0x2545f491) | 1;
  }

  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return limit > 0 ? (this.#state >>> 0) % limit : 0;
  }
}

/** Gives what a guest says after its hello, in pieces, to a host that runs one of everything. */
export async function runHostInput(bytes: Uint8Array, random: Random): Promise<void> {
  const parser = new FrameParser();
  const pipe = new Duplex({
    read() {},
    write(chunk: Uint8Array, _encoding, done) {
      parser.push(chunk, ({ type, payload }) => {
        if (type === FrameType.sync) pipe.push(helloTo(payload));
      });
      done();
    },
  });
  const agent = await connectAgent(pipe);
  const working = [
    agent.run(["a"]),
    agent.health(),
    agent.connect({ kind: "unix", path: "/a" }),
    agent.files.stat("/a"),
    agent.files.list("/a"),
    agent.files.readFile("/a"),
    agent.ports(),
    agent.stats(),
    agent.processes(),
    agent.sessions.list(),
    agent.sessions.wait("a"),
    Array.fromAsync(agent.watch("/a")),
  ].map((work) => work.then(() => undefined, assertExpected));
  for (let at = 0; at < bytes.length; ) {
    const count = 1 + random.below(bytes.length - at);
    pipe.push(bytes.subarray(at, at + count));
    at += count;
  }
  // What was pushed is read first.
  await new Promise((resolve) => setImmediate(resolve));
  agent.close();
  await Promise.all(working);
}

function assertExpected(error: unknown): void {
  if (!(error instanceof BangerError) || error.code === "internal") throw error;
}

function helloTo(sync: Uint8Array): Uint8Array {
  const nonce = sync.subarray(SYNC_MAGIC.length, SYNC_MAGIC.length + NONCE_BYTES);
  const fields = new FieldWriter().number(Tag.protocol, 1).number(Tag.maxStreams, 64);
  for (const feature of features) fields.text(Tag.feature, feature);
  return encodeFrame(FrameType.hello, { payload: Uint8Array.from([...nonce, ...fields.finish()]) });
}

/** A frame that looks right, about one of the streams that are open. */
function someFrame(random: Random): Uint8Array {
  const types = Object.values(FrameType);
  const isMostly = random.below(4) > 0;
  const type = isMostly ? 17 + random.below(6) : (types[random.below(types.length)] ?? 99);
  const stream = random.below(10) > 0 ? 1 + 2 * random.below(13) : random.below(2 ** 31);
  return encodeFrame(type, { flags: random.below(4), stream, payload: somePayload(random) });
}

function somePayload(random: Random): Uint8Array {
  const tags = Object.values(Tag);
  if (random.below(3) === 0) {
    return Uint8Array.from({ length: random.below(40) }, () => random.below(256));
  }
  const list = (depth: number): Uint8Array => {
    const fields = new FieldWriter();
    for (let left = random.below(6); left > 0; left--) {
      const tag = tags[random.below(tags.length)] ?? 1;
      const kind = random.below(depth > 0 ? 4 : 3);
      if (kind === 0) fields.number(tag, random.below(2 ** 31));
      else if (kind === 1) fields.text(tag, "text/../\u001b[2J");
      else if (kind === 2) fields.bytes(tag, new Uint8Array(random.below(12)).fill(0xff));
      else fields.bytes(Tag.entry, list(depth - 1));
    }
    return fields.finish();
  };
  return list(2);
}

/** Another input out of one of the corpus. */
export function mutate(corpus: readonly Uint8Array[], random: Random): Uint8Array {
  let bytes = [...(corpus[random.below(corpus.length)] ?? [])];
  for (let rounds = 1 + random.below(6); rounds > 0; rounds--) {
    const at = random.below(bytes.length);
    switch (random.below(6)) {
      case 0:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
        break;
      case 1:
        bytes.splice(at, random.below(64));
        break;
      case 2: {
        const other = corpus[random.below(corpus.length)] ?? new Uint8Array(0);
        const from = random.below(other.length);
        bytes.splice(at, 0, ...other.subarray(from, from + random.below(512)));
        break;
      }
      case 3:
        bytes[at] = [0, 1, 0x7f, 0x80, 0xe7, 0xff][random.below(6)] ?? 0;
        break;
      default:
        // At the end most of all, where the bytes before are in step.
        bytes.splice(random.below(4) ? bytes.length : at, 0, ...someFrame(random));
    }
  }
  if (bytes.length > INPUT_MAX_BYTES) bytes = bytes.slice(0, INPUT_MAX_BYTES);
  return Uint8Array.from(bytes);
}
