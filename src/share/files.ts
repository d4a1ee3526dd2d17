/** Operations on files that are open, and opening them. */
import { constants } from "node:fs";
import { dropPrivileges } from "./attributes.ts";
import { createFile } from "./names.ts";
import { isDirectory, isFile, type Node, requireStatus } from "./nodes.ts";
import {
  answer,
  assertWritable,
  checked,
  done,
  type Operation,
  offset,
  type ShareState,
} from "./operation.ts";
import { call, descriptorPath, O_CLOEXEC } from "./syscalls.ts";
import {
  answerTo,
  ENTRY_BYTES,
  Fault,
  forgetAttributes,
  OUT_HEADER_BYTES,
  PAYLOAD_MAX_BYTES,
  type Request,
  type Status,
  shortened,
  writeEntry,
} from "./wire.ts";

const { O_RDONLY, O_WRONLY, O_RDWR, O_APPEND, O_EXCL, O_TRUNC, O_NONBLOCK } = constants;
const { O_SYNC, O_DSYNC } = constants;
const O_ACCMODE = 3;
/** What of a machine's flags is the host's as well. */
const KEPT_FLAGS = O_APPEND | O_SYNC | O_DSYNC;
const OPEN_BYTES = 16;
const FSYNC_DATA = 1;
const REFUSE_EVERY_MS = 100;
/** KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE. */
const FALLOCATE_MODES = 0x13;
/** At once; the kernel asks for the rest. */
const COPY_MAX_BYTES = 16 * 1024 * 1024;
const EACCES = 13;
const EEXIST = 17;
const EISDIR = 21;
const EINVAL = 22;
const ESTALE = 116;
const EOPNOTSUPP = 95;

export const open: Operation = (share, request) => {
  const flags = request.body.u32();
  const node = share.nodes.get(request.nodeId);
  const isChanged = share.nodes.statusOf(node).version !== node.version;
  if (isChanged) refuseOnce(node);
  else node.isRefused = false;
  const fd = openNode(share, node, flags);
  const opened = answer(request, openAnswer(share.handles.add(fd, "file")));
  return isChanged ? Buffer.concat([forgetAttributes(node.id), opened]) : opened;
};

/**
 * Who opens a file reads all that the host has written to it, and not as many bytes as were there a second ago. With
 * ESTALE the kernel looks for the name again, with new attributes, and opens it then, which is not refused. Nor is what
 * opens it in the same moment: the kernel tries only once more. It is told not to believe the attributes, which
 * sendfile(2) does all the same.
 */
function refuseOnce(node: Node): void {
  const now_ms = performance.now();
  const isAgain = node.isRefused || now_ms - node.refusedAt_ms < REFUSE_EVERY_MS;
  node.isRefused = !isAgain;
  if (isAgain) return;
  node.refusedAt_ms = now_ms;
  throw new Fault(ESTALE);
}

/** Only what is a file: to open something else can wait, or do things. */
function openNode(share: ShareState, node: Node, flags: number): number {
  const access = flags & O_ACCMODE;
  if (![O_RDONLY, O_WRONLY, O_RDWR].includes(access)) throw new Fault(EINVAL);
  if (!isFile(node)) throw new Fault(isDirectory(node) ? EISDIR : EACCES);
  if (access !== O_RDONLY || flags & O_TRUNC) {
    assertWritable(share);
    dropPrivileges(share, node);
  }
  const path = descriptorPath(share.nodes.fdOf(node));
  const own = O_CLOEXEC | O_NONBLOCK | (flags & (KEPT_FLAGS | O_TRUNC));
  return checked(call("open", path, access | own, 0));
}

export const create: Operation = (share, request) => {
  assertWritable(share);
  const { body } = request;
  const [flags, mode] = [body.u32(), body.u32()];
  body.skip(8);
  const name = body.text();
  const directory = share.nodes.get(request.nodeId);
  const access = flags & (O_ACCMODE | KEPT_FLAGS);
  let fd: number | undefined;
  try {
    fd = createFile(share, request, { directory, name, mode, flags: access });
  } catch (error) {
    const isThere = error instanceof Fault && error.errno === EEXIST;
    if (!isThere || flags & O_EXCL) throw error;
  }
  const found = share.nodes.look(directory, name);
  if (!found) {
    if (fd !== undefined) call("close", fd);
    throw new Fault(EACCES);
  }
  try {
    const handle = share.handles.add(fd ?? openNode(share, found.node, flags), "file");
    return createAnswer(request, found, handle);
  } catch (error) {
    share.nodes.forget(found.node.id, 1n);
    throw error;
  }
};

function createAnswer(
  { unique }: Request,
  { node, status }: { node: Node; status: Status },
  handle: number,
): Buffer {
  const { message, body } = answerTo(unique, ENTRY_BYTES + OPEN_BYTES);
  writeEntry(body, { id: node.id, status });
  body.set(openAnswer(handle), ENTRY_BYTES);
  return message;
}

export function openAnswer(handle: number): Buffer {
  const out = Buffer.alloc(OPEN_BYTES);
  out.writeBigUInt64LE(BigInt(handle), 0);
  return out;
}

export const read: Operation = ({ handles }, { unique, body }) => {
  const fd = handles.fd(body.id());
  const position = offset(body.u64());
  const size = Math.min(body.u32(), PAYLOAD_MAX_BYTES);
  const message = Buffer.allocUnsafe(OUT_HEADER_BYTES + size);
  message.writeUInt32LE(0, 4);
  message.writeBigUInt64LE(unique, 8);
  const count = call("pread", fd, message.subarray(OUT_HEADER_BYTES), size, position);
  return shortened(message, checked(count));
};

export const write: Operation = (share, request) => {
  assertWritable(share);
  const { body } = request;
  const fd = share.handles.fd(body.id());
  const position = offset(body.u64());
  const size = body.u32();
  body.skip(20);
  const data = body.bytes(size);
  const isChanged = !share.nodes.isKnown(request.nodeId, fd);
  const count = checked(call("pwrite", fd, data, size, position));
  // The kernel knows what it does itself.
  if (!isChanged) share.nodes.gave(request.nodeId, requireStatus(fd));
  return answer(request, written(count));
};

function written(count: number): Buffer {
  const out = Buffer.alloc(8);
  out.writeUInt32LE(count, 0);
  return out;
}

export const release: Operation = ({ handles }, request) => {
  handles.remove(request.body.id());
  return done(request);
};

export const fsync: Operation = ({ handles }, request) => {
  const fd = handles.fd(request.body.id());
  checked(call(request.body.u32() & FSYNC_DATA ? "fdatasync" : "fsync", fd));
  return done(request);
};

export const fallocate: Operation = (share, request) => {
  assertWritable(share);
  const { body } = request;
  const fd = share.handles.fd(body.id());
  const [position, length] = [offset(body.u64()), offset(body.u64())];
  const mode = body.u32();
  if (mode & ~FALLOCATE_MODES) throw new Fault(EOPNOTSUPP);
  checked(call("fallocate", fd, mode, position, length));
  return done(request);
};

/** Of data and holes; the descriptor's own position means nothing to anybody. */
export const lseek: Operation = ({ handles }, request) => {
  const { body } = request;
  const fd = handles.fd(body.id());
  const position = offset(body.u64());
  const out = Buffer.alloc(8);
  out.writeBigUInt64LE(BigInt(checked(call("lseek", fd, position, body.u32()))), 0);
  return answer(request, out);
};

export const copyFileRange: Operation = (share, request) => {
  assertWritable(share);
  const { body } = request;
  const from = share.handles.fd(body.id());
  const fromPosition = BigInt64Array.of(BigInt(offset(body.u64())));
  body.skip(8);
  const to = share.handles.fd(body.id());
  const toPosition = BigInt64Array.of(BigInt(offset(body.u64())));
  const wanted = body.u64();
  const length = wanted < BigInt(COPY_MAX_BYTES) ? Number(wanted) : COPY_MAX_BYTES;
  const positions = [fromPosition, toPosition].map((each) => new Uint8Array(each.buffer));
  const [first = EMPTY_POSITION, second = EMPTY_POSITION] = positions;
  const count = checked(call("copy_file_range", from, first, to, second, length, 0));
  return answer(request, written(count));
};

const EMPTY_POSITION = new Uint8Array(8);
