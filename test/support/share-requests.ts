/** Requests of a machine's kernel for a shared directory, made by hand. */
import { expect } from "bun:test";
import { Share } from "#share/share.ts";
import { Op, ROOT_ID } from "#share/wire.ts";

const SELF = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

export function u32(...values: number[]): Buffer {
  return Buffer.from(Uint32Array.from(values).buffer);
}

export function u64(...values: (number | bigint)[]): Buffer {
  return Buffer.from(BigUint64Array.from(values.map(BigInt)).buffer);
}

export function text(value: string): Buffer {
  return Buffer.from(`${value}\0`, "latin1");
}

/** What a machine's kernel would do with it; answers have their error and their payload. */
export function openShare(
  directory: string,
  { isReadOnly = false, nodes = 1000, descriptors = 100 } = {},
) {
  const share = new Share(directory, { isReadOnly, limits: { nodes, descriptors } });
  const notifications: Buffer[] = [];
  const send = (opcode: number, nodeId: number | bigint, ...body: Buffer[]) => {
    const payload = Buffer.concat(body);
    const header = Buffer.concat([
      ...[u32(40 + payload.length, opcode), u64(77n, nodeId), u32(SELF.uid, SELF.gid, 1, 0)],
    ]);
    let answer = share.answer(Buffer.concat([header, payload]));
    if (!answer) return undefined;
    while (answer.readBigUInt64LE(8) === 0n) {
      const length = answer.readUInt32LE(0);
      notifications.push(answer.subarray(0, length));
      answer = answer.subarray(length);
    }
    expect(answer.readUInt32LE(0)).toBe(answer.length);
    expect(answer.readBigUInt64LE(8)).toBe(77n);
    return { errno: 0 - answer.readInt32LE(4), body: answer.subarray(16) };
  };
  const ask = (opcode: number, nodeId: number | bigint, ...body: Buffer[]) => {
    const answer = send(opcode, nodeId, ...body);
    if (!answer) throw new Error("no answer");
    return answer;
  };
  const look = (name: string, parent = ROOT_ID) => {
    const { errno, body } = ask(Op.LOOKUP, parent, text(name));
    return { errno, id: errno ? 0 : Number(body.readBigUInt64LE(0)) };
  };
  const openFile = (id: number, flags = 0) => {
    const { errno, body } = ask(Op.OPEN, id, u32(flags, 0));
    return { errno, handle: errno ? 0 : Number(body.readBigUInt64LE(0)) };
  };
  const read = (handle: number, size = 100, position: number | bigint = 0) =>
    ask(Op.READ, 0, u64(handle, position), u32(size, 0), u64(0), u32(0, 0));
  const write = (handle: number, data: string, id = 0) =>
    ask(Op.WRITE, id, u64(handle, 0), u32(data.length, 0), u64(0), u32(0, 0), Buffer.from(data));
  const create = (name: string, flags: number, parent = ROOT_ID) =>
    ask(Op.CREATE, parent, u32(flags, 0o644, 0, 0), text(name));
  const setMode = (id: number, mode: number) =>
    ask(Op.SETATTR, id, u32(1, 0), u64(0, 0, 0, 0, 0, 0), u32(0, 0, 0, mode, 0, 0, 0, 0));
  return { share, notifications, send, ask, look, openFile, read, write, create, setMode };
}
