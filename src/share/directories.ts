/** Operations on directories that are open: their names, and what is known of each. */
import { constants } from "node:fs";
import { openAnswer } from "./files.ts";
import type { Listing } from "./handles.ts";
import { isDirectory, type Node } from "./nodes.ts";
import { answer, checked, type Operation, type ShareState } from "./operation.ts";
import { call, descriptorPath, listDirectory, O_CLOEXEC, seekDirectory } from "./syscalls.ts";
import {
  answerTo,
  ENTRY_BYTES,
  Fault,
  PAYLOAD_MAX_BYTES,
  type Request,
  shortened,
  writeEntry,
} from "./wire.ts";

const ENOTDIR = 20;
const DIRENT_BYTES = 24;
/** Where a name begins in struct linux_dirent64. */
const NAME_AT = 19;

export const opendir: Operation = (share, request) => {
  const node = share.nodes.get(request.nodeId);
  if (!isDirectory(node)) throw new Fault(ENOTDIR);
  const path = descriptorPath(share.nodes.fdOf(node));
  const fd = checked(call("open", path, constants.O_DIRECTORY | O_CLOEXEC, 0));
  return answer(request, openAnswer(share.handles.add(fd, "directory")));
};

export const readdir: Operation = (share, request) => list(share, request, false);
export const readdirplus: Operation = (share, request) => list(share, request, true);

function list(share: ShareState, request: Request, hasAttributes: boolean): Buffer {
  const { body } = request;
  const { fd, listing } = share.handles.listing(body.id());
  const position = BigInt.asIntN(64, body.u64());
  const size = Math.min(body.u32(), PAYLOAD_MAX_BYTES);
  const directory = hasAttributes ? share.nodes.get(request.nodeId) : undefined;
  if (position !== listing.position || position === 0n) {
    checked(seekDirectory(fd, position));
    Object.assign(listing, { length: 0, at: 0, position });
  }
  const answered = answerTo(request.unique, size);
  let used = 0;
  for (let found = next(fd, listing); found; found = next(fd, listing)) {
    const room = answered.body.subarray(used);
    const taken = writeName(room, found, directory && { share, directory });
    if (taken === 0) break;
    used += taken;
    listing.at += found.length;
    listing.position = found.position;
  }
  return shortened(answered.message, used);
}

interface Found {
  inode: bigint;
  /** Of the one after it. */
  position: bigint;
  /** In the listing. */
  length: number;
  kind: number;
  name: string;
}

function next(fd: number, listing: Listing): Found | undefined {
  const { buffer } = listing;
  if (listing.at >= listing.length) {
    listing.length = checked(listDirectory(fd, buffer));
    listing.at = 0;
    if (listing.length === 0) return undefined;
  }
  const { at } = listing;
  const length = buffer.readUInt16LE(at + 16);
  const end = buffer.indexOf(0, at + NAME_AT);
  return {
    inode: buffer.readBigUInt64LE(at),
    position: buffer.readBigInt64LE(at + 8),
    length,
    kind: buffer.readUInt8(at + 18),
    name: buffer.toString("latin1", at + NAME_AT, end),
  };
}

/** How many bytes it took; 0: there is no room. */
function writeName(
  room: Buffer,
  { inode, position, kind, name }: Found,
  plus: { share: ShareState; directory: Node } | undefined,
): number {
  const before = plus ? ENTRY_BYTES : 0;
  const total = (before + DIRENT_BYTES + name.length + 7) & ~7;
  if (total > room.length) return 0;
  if (plus && name !== "." && name !== "..") {
    const found = lookIn(plus, name);
    // Without a number the kernel looks for it itself, should it be there again.
    if (found) writeEntry(room, { id: found.node.id, status: found.status });
  }
  room.writeBigUInt64LE(inode, before);
  room.writeBigInt64LE(position, before + 8);
  room.writeUInt32LE(name.length, before + 16);
  room.writeUInt32LE(kind, before + 20);
  room.write(name, before + DIRENT_BYTES, "latin1");
  return total;
}

function lookIn({ share, directory }: { share: ShareState; directory: Node }, name: string) {
  try {
    return share.nodes.look(directory, name);
  } catch (error) {
    if (error instanceof Fault) return undefined;
    throw error;
  }
}
