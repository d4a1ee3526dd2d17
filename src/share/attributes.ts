/** Operations on what is known of files. */
import { isDirectory, isFile, isSymlink, type Node, requireStatus } from "./nodes.ts";
import {
  answer,
  assertWritable,
  checked,
  type Operation,
  offset,
  type ShareState,
} from "./operation.ts";
import { AT_EMPTY_PATH, AT_FDCWD, call, descriptorPath, EMPTY } from "./syscalls.ts";
import { attributesOf, Fault, type Reader } from "./wire.ts";

const EINVAL = 22;
const EOPNOTSUPP = 95;
const EISDIR = 21;
const SAME = 0xffff_ffff;
const UTIME_NOW = 0x3fff_ffffn;
const UTIME_OMIT = 0x3fff_fffen;
const GETATTR_FH = 1;

const Valid = {
  MODE: 1 << 0,
  UID: 1 << 1,
  GID: 1 << 2,
  SIZE: 1 << 3,
  ATIME: 1 << 4,
  MTIME: 1 << 5,
  FH: 1 << 6,
  ATIME_NOW: 1 << 7,
  MTIME_NOW: 1 << 8,
};

export const getattr: Operation = ({ nodes, handles }, request) => {
  const flags = request.body.u32();
  request.body.skip(4);
  const handle = request.body.id();
  const status =
    flags & GETATTR_FH
      ? requireStatus(handles.fd(handle))
      : nodes.statusOf(nodes.get(request.nodeId));
  return answer(request, attributesOf(nodes.gave(request.nodeId, status)));
};

interface Changes {
  valid: number;
  handle: number;
  size: bigint;
  times: BigInt64Array;
  mode: number;
  uid: number;
  gid: number;
}

export const setattr: Operation = (share, request) => {
  assertWritable(share);
  const node = share.nodes.get(request.nodeId);
  const changes = parseChanges(request.body);
  const { valid } = changes;
  if (valid & (Valid.UID | Valid.GID)) {
    const uid = valid & Valid.UID ? changes.uid : SAME;
    const gid = valid & Valid.GID ? changes.gid : SAME;
    checked(call("fchownat", share.nodes.fdOf(node), EMPTY, uid, gid, AT_EMPTY_PATH));
  }
  if (valid & Valid.MODE) setMode(share, node, changes.mode);
  if (valid & Valid.SIZE) setSize(share, node, changes);
  if (valid & (Valid.ATIME | Valid.MTIME)) setTimes(share, node, changes.times);
  return answer(request, attributesOf(share.nodes.gave(node.id, share.nodes.statusOf(node))));
};

function parseChanges(body: Reader): Changes {
  const valid = body.u32();
  body.skip(4);
  const handle = body.id();
  const size = body.u64();
  body.skip(8);
  const seconds = [body.u64(), body.u64()];
  body.skip(8);
  const nanoseconds = [BigInt(body.u32()), BigInt(body.u32())];
  body.skip(4);
  const mode = body.u32();
  body.skip(4);
  const times = new BigInt64Array(4);
  const wanted = [Valid.ATIME, Valid.MTIME];
  const now = [Valid.ATIME_NOW, Valid.MTIME_NOW];
  for (const index of [0, 1]) {
    const isNow = valid & (now[index] ?? 0);
    const isSet = valid & (wanted[index] ?? 0);
    times[2 * index] = seconds[index] ?? 0n;
    times[2 * index + 1] = !isSet ? UTIME_OMIT : isNow ? UTIME_NOW : (nanoseconds[index] ?? 0n);
  }
  return { valid, handle, size, times, mode, uid: body.u32(), gid: body.u32() };
}

/** No program of a machine becomes one that gives its owner's rights on the host. */
function setMode({ nodes }: ShareState, node: Node, mode: number): void {
  if (isSymlink(node)) throw new Fault(EOPNOTSUPP);
  const allowed = isDirectory(node) ? 0o3777 : 0o1777;
  checked(call("chmod", descriptorPath(nodes.fdOf(node)), mode & allowed));
}

function setSize({ nodes, handles }: ShareState, node: Node, changes: Changes): void {
  if (!isFile(node)) throw new Fault(isDirectory(node) ? EISDIR : EINVAL);
  const size = offset(changes.size);
  if (changes.valid & Valid.FH) {
    checked(call("ftruncate", handles.fd(changes.handle), size));
    return;
  }
  dropPrivileges({ nodes }, node);
  checked(call("truncate", descriptorPath(nodes.fdOf(node)), size));
}

function setTimes({ nodes }: ShareState, node: Node, times: BigInt64Array): void {
  const bytes = new Uint8Array(times.buffer);
  const fd = nodes.fdOf(node);
  const result = isSymlink(node)
    ? call("utimensat", fd, EMPTY, bytes, AT_EMPTY_PATH)
    : call("utimensat", AT_FDCWD, descriptorPath(fd), bytes, 0);
  checked(result);
}

/** A host's program with its owner's rights loses them before a machine writes to it, as on any file system. */
export function dropPrivileges({ nodes }: Pick<ShareState, "nodes">, node: Node): void {
  const { mode } = nodes.statusOf(node);
  if (!(mode & 0o6000)) return;
  checked(call("chmod", descriptorPath(nodes.fdOf(node)), mode & 0o1777));
}

/** struct statfs is the same on all 64-bit machines; the answer has most of it in the same order. */
export const statfs: Operation = ({ nodes }, request) => {
  const found = new BigUint64Array(16);
  checked(call("fstatfs", nodes.fdOf(nodes.root), new Uint8Array(found.buffer)));
  const [, blockSize = 0n, ...counts] = found;
  const out = Buffer.alloc(80);
  for (const index of [0, 1, 2, 3, 4]) out.writeBigUInt64LE(counts[index] ?? 0n, 8 * index);
  out.writeUInt32LE(Number(blockSize), 40);
  out.writeUInt32LE(Number(found[8] ?? 255n), 44);
  out.writeUInt32LE(Number(found[9] ?? blockSize), 48);
  return answer(request, out);
};
