/** One shared directory: gives the answer to each request of a machine's kernel. */
import { getattr, setattr, statfs } from "./attributes.ts";
import { opendir, readdir, readdirplus } from "./directories.ts";
import {
  copyFileRange,
  create,
  fallocate,
  fsync,
  lseek,
  open,
  read,
  release,
  write,
} from "./files.ts";
import { Handles } from "./handles.ts";
import {
  link,
  lookup,
  mkdir,
  mknod,
  readlink,
  rename,
  rename2,
  rmdir,
  symlink,
  unlink,
} from "./names.ts";
import { type Limits, NodeTable } from "./nodes.ts";
import { answer, type Operation, type ShareState } from "./operation.ts";
import { errorTo, Fault, initAnswer, Op, ProtocolError, parseRequest } from "./wire.ts";

const EPROTO = 71;
/** The kernel does not ask again for what it is told does not exist: locks, extended attributes, and flushes. */
const ENOSYS = 38;
const FORGETS_MAX = 65_536;

const forget: Operation = ({ nodes }, { nodeId, body }) => {
  nodes.forget(nodeId, body.u64());
  return undefined;
};

const batchForget: Operation = ({ nodes }, { body }) => {
  const count = body.u32();
  body.skip(4);
  if (count > FORGETS_MAX) throw new ProtocolError("too many nodes to forget");
  for (let index = 0; index < count; index++) nodes.forget(body.id(), body.u64());
  return undefined;
};

const init: Operation = (_, request) => {
  const found = initAnswer(request.body);
  if (!found) throw new Fault(EPROTO);
  return answer(request, found);
};

const nothing: Operation = () => undefined;

const operations: Readonly<Record<number, Operation>> = {
  [Op.LOOKUP]: lookup,
  [Op.FORGET]: forget,
  [Op.GETATTR]: getattr,
  [Op.SETATTR]: setattr,
  [Op.READLINK]: readlink,
  [Op.SYMLINK]: symlink,
  [Op.MKNOD]: mknod,
  [Op.MKDIR]: mkdir,
  [Op.UNLINK]: unlink,
  [Op.RMDIR]: rmdir,
  [Op.RENAME]: rename,
  [Op.LINK]: link,
  [Op.OPEN]: open,
  [Op.READ]: read,
  [Op.WRITE]: write,
  [Op.STATFS]: statfs,
  [Op.RELEASE]: release,
  [Op.FSYNC]: fsync,
  [Op.INIT]: init,
  [Op.OPENDIR]: opendir,
  [Op.READDIR]: readdir,
  [Op.RELEASEDIR]: release,
  [Op.FSYNCDIR]: fsync,
  [Op.CREATE]: create,
  [Op.INTERRUPT]: nothing,
  [Op.DESTROY]: nothing,
  [Op.BATCH_FORGET]: batchForget,
  [Op.FALLOCATE]: fallocate,
  [Op.READDIRPLUS]: readdirplus,
  [Op.RENAME2]: rename2,
  [Op.LSEEK]: lseek,
  [Op.COPY_FILE_RANGE]: copyFileRange,
};

export class Share implements Disposable {
  readonly #state: ShareState;

  /** A `Fault` when the directory cannot be opened. */
  constructor(directory: string, options: { isReadOnly: boolean; limits: Limits }) {
    const { isReadOnly, limits } = options;
    this.#state = {
      nodes: new NodeTable(directory, limits),
      handles: new Handles(limits.descriptors),
      isReadOnly,
      setsOwners: process.geteuid?.() === 0,
    };
  }

  /** How much the machine has of it. */
  get counts(): { nodes: number; descriptors: number; handles: number; listings: number } {
    const { nodes, handles } = this.#state;
    return {
      ...{ nodes: nodes.size, descriptors: nodes.descriptors },
      ...{ handles: handles.size, listings: handles.listings },
    };
  }

  /** To one whole message; undefined: it has no answer. A `ProtocolError` for what no kernel sends. */
  answer(message: Buffer): Buffer | undefined {
    const request = parseRequest(message);
    const operation = operations[request.opcode];
    if (!operation) return errorTo(request.unique, ENOSYS);
    try {
      return operation(this.#state, request);
    } catch (error) {
      if (error instanceof Fault) return errorTo(request.unique, error.errno);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#state.handles[Symbol.dispose]();
    this.#state.nodes[Symbol.dispose]();
  }
}
