/** Operations on names in directories. */
import { constants } from "node:fs";
import { checkedName, isSymlink, type Node } from "./nodes.ts";
import {
  assertWritable,
  checked,
  done,
  entry,
  type Operation,
  type ShareState,
} from "./operation.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_FOLLOW,
  call,
  cName,
  descriptorPath,
  EMPTY,
  openBeneath,
} from "./syscalls.ts";
import { answerTo, Fault, type Request, type Status, shortened } from "./wire.ts";

const { S_IFMT, S_IFREG, S_IFDIR, S_IFLNK, O_CREAT, O_EXCL, O_WRONLY, O_NONBLOCK } = constants;
const S_ISGID = 0o2000;
/** No owner: it stays. */
const SAME = 0xffff_ffff;
const TARGET_MAX_BYTES = 4096;
const RENAME_NOREPLACE = 1;
const RENAME_EXCHANGE = 2;
const EPERM = 1;
const ENOENT = 2;
const EINVAL = 22;
const ENAMETOOLONG = 36;

export const lookup: Operation = ({ nodes }, request) =>
  entry(request, nodes.look(nodes.get(request.nodeId), request.body.text()));

export const readlink: Operation = ({ nodes }, { nodeId, unique }) => {
  const node = nodes.get(nodeId);
  if (!isSymlink(node)) throw new Fault(EINVAL);
  const { message, body } = answerTo(unique, TARGET_MAX_BYTES);
  const fd = nodes.fdOf(node);
  return shortened(message, checked(call("readlinkat", fd, EMPTY, body, body.length)));
};

export const symlink: Operation = (share, request) => {
  assertWritable(share);
  const name = request.body.text();
  const target = request.body.text();
  if (target.length >= TARGET_MAX_BYTES) throw new Fault(ENAMETOOLONG);
  const directory = share.nodes.get(request.nodeId);
  const fd = share.nodes.fdOf(directory);
  checked(call("symlinkat", cName(target), fd, checkedName(name)));
  return entry(request, owned(share, request, { directory, name, kind: S_IFLNK }));
};

export const mkdir: Operation = (share, request) => {
  assertWritable(share);
  const mode = request.body.u32();
  request.body.skip(4);
  const name = request.body.text();
  const directory = share.nodes.get(request.nodeId);
  checked(call("mkdirat", share.nodes.fdOf(directory), checkedName(name), mode & 0o1777));
  return entry(request, owned(share, request, { directory, name, kind: S_IFDIR }));
};

/** Files only: the devices, pipes and sockets of a machine are none of the host's. */
export const mknod: Operation = (share, request) => {
  assertWritable(share);
  const mode = request.body.u32();
  request.body.skip(12);
  const name = request.body.text();
  if (![0, S_IFREG].includes(mode & S_IFMT)) throw new Fault(EPERM);
  const directory = share.nodes.get(request.nodeId);
  call("close", createFile(share, request, { directory, name, mode, flags: O_WRONLY }));
  return entry(request, required(share.nodes.look(directory, name)));
};

/** A descriptor of a new file with its owner; EEXIST if there is something of that name. */
export function createFile(
  { nodes, setsOwners }: ShareState,
  request: Request,
  wanted: { directory: Node; name: string; mode: number; flags: number },
): number {
  const { directory, name, mode } = wanted;
  const parent = nodes.fdOf(directory);
  const flags = wanted.flags | O_CREAT | O_EXCL | O_NONBLOCK;
  const fd = checked(openBeneath(parent, checkedName(name), { flags, mode: mode & 0o777 }));
  if (setsOwners) setOwner(fd, request, nodes.statusOf(directory));
  return fd;
}

/** A group directory gives its group to what is in it. */
function setOwner(fd: number, { uid, gid }: Request, parent: Status): void {
  const group = parent.mode & S_ISGID ? SAME : gid;
  call("fchownat", fd, EMPTY, uid, group, AT_EMPTY_PATH);
}

/** What was just made, with its owner. Something else that took its place meanwhile is left as it is. */
function owned(
  { nodes, setsOwners }: ShareState,
  request: Request,
  { directory, name, kind }: { directory: Node; name: string; kind: number },
): { node: Node; status: Status } {
  const made = required(nodes.look(directory, name));
  if (!setsOwners || made.node.kind !== kind) return made;
  setOwner(nodes.fdOf(made.node), request, nodes.statusOf(directory));
  return { node: made.node, status: nodes.statusOf(made.node) };
}

function required<T>(found: T | undefined): T {
  if (found === undefined) throw new Fault(ENOENT);
  return found;
}

export const link: Operation = (share, request) => {
  assertWritable(share);
  const { nodes } = share;
  const source = nodes.get(request.body.id());
  const name = request.body.text();
  const directory = nodes.get(request.nodeId);
  const from = descriptorPath(nodes.fdOf(source));
  const to = nodes.fdOf(directory);
  checked(call("linkat", AT_FDCWD, from, to, checkedName(name), AT_SYMLINK_FOLLOW));
  return entry(request, required(nodes.look(directory, name)));
};

function remove(flags: number): Operation {
  return (share, request) => {
    assertWritable(share);
    const name = request.body.text();
    const directory = share.nodes.get(request.nodeId);
    const removed = share.nodes.keepOpen(directory, name);
    checked(call("unlinkat", share.nodes.fdOf(directory), checkedName(name), flags));
    removed();
    return done(request);
  };
}

export const unlink = remove(0);
export const rmdir = remove(AT_REMOVEDIR);

export const rename: Operation = (share, request) => {
  const target = request.body.id();
  return move(share, request, { target, flags: 0 });
};

export const rename2: Operation = (share, request) => {
  const target = request.body.id();
  const flags = request.body.u32();
  request.body.skip(4);
  if (![0, RENAME_NOREPLACE, RENAME_EXCHANGE].includes(flags)) throw new Fault(EINVAL);
  return move(share, request, { target, flags });
};

function move(
  share: ShareState,
  request: Request,
  { target, flags }: { target: number; flags: number },
): Buffer {
  assertWritable(share);
  const { nodes } = share;
  const from = { directory: nodes.get(request.nodeId), name: request.body.text() };
  const to = { directory: nodes.get(target), name: request.body.text() };
  const replaced = flags === 0 ? nodes.keepOpen(to.directory, to.name) : undefined;
  // The second may have closed the first.
  const source = nodes.fdOf(from.directory);
  const parent = nodes.fdOf(to.directory);
  const names = [checkedName(from.name), checkedName(to.name)] as const;
  checked(call("renameat2", source, names[0], parent, names[1], flags));
  replaced?.();
  nodes.moved(from, to);
  if (flags === RENAME_EXCHANGE) nodes.moved(to, from);
  return done(request);
}
