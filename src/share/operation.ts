/** What every operation has: the share's state, and answers to the request that it is for. */
import type { Handles } from "./handles.ts";
import type { Node, NodeTable } from "./nodes.ts";
import { answerTo, ENTRY_BYTES, Fault, type Request, type Status, writeEntry } from "./wire.ts";

const EROFS = 30;
const EFBIG = 27;

export interface ShareState {
  nodes: NodeTable;
  handles: Handles;
  isReadOnly: boolean;
  /** New files get the owner that made them in the machine, for which this process has to be root. */
  setsOwners: boolean;
}

/** Gives the whole answer, after what else the kernel is to be told; undefined: there is none. */
export type Operation = (share: ShareState, request: Request) => Buffer | undefined;

export function assertWritable({ isReadOnly }: ShareState): void {
  if (isReadOnly) throw new Fault(EROFS);
}

/** The result of a system call, whose error is the machine's. */
export function checked(result: number): number {
  if (result < 0) throw new Fault(-result);
  return result;
}

export function done({ unique }: Request): Buffer {
  return answerTo(unique, 0).message;
}

export function answer({ unique }: Request, payload: Uint8Array): Buffer {
  const { message, body } = answerTo(unique, payload.length);
  body.set(payload);
  return message;
}

export function entry(request: Request, found: { node: Node; status: Status } | undefined): Buffer {
  const { message, body } = answerTo(request.unique, ENTRY_BYTES);
  writeEntry(body, found && { id: found.node.id, status: found.status });
  return message;
}

/** A position or a size as a number: files are not that large. */
export function offset(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new Fault(EFBIG);
  return Number(value);
}
