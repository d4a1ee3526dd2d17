/**
 * The files that a machine's kernel knows by number. Each is found from the one that it is in, by its name and below it,
 * so that not all of them need an open descriptor: those not used for long are closed, and opened again when they are.
 */
import { constants, readFileSync } from "node:fs";
import { call, cName, O_PATH, openBeneath, statusOf } from "./syscalls.ts";
import { Fault, ROOT_ID, Status } from "./wire.ts";

const { S_IFMT, S_IFDIR, S_IFREG, S_IFLNK } = constants;
const ENOMEM = 12;
const EINVAL = 22;
const ENAMETOOLONG = 36;
const ELOOP = 40;
const ESTALE = 116;

/** What a machine's kernel can know at once. */
export const NODES_MAX = 400_000;
const NAME_MAX_BYTES = 255;
/** Of the descriptors that this process may have: for nodes, for removed ones, and for open files, each as many. */
const DESCRIPTORS_SHARE = 0.3;
const DESCRIPTORS_MAX = 8192;
const DESCRIPTORS_MIN = 64;

export interface Node {
  readonly id: number;
  /** Of its status. */
  readonly key: string;
  readonly kind: number;
  parent: Node | undefined;
  name: string;
  lookups: number;
  /** How many nodes are found from it, which keep it when the kernel has forgotten it. */
  children: number;
  /** Of the last status that the kernel was given. */
  version: string;
  /** When opening it was last refused for having changed. */
  refusedAt_ms: number;
  /** And has not been opened since. */
  isRefused: boolean;
  /** A descriptor of its path alone; -1: closed. */
  fd: number;
  /** It has no name any more: its descriptor is all that leads to it. */
  isUnlinked: boolean;
}

const NEVER_REFUSED = { refusedAt_ms: Number.NEGATIVE_INFINITY, isRefused: false };

export interface Limits {
  nodes: number;
  descriptors: number;
}

export function defaultLimits(shares: number): Limits {
  const limits = readFileSync("/proc/self/limits", "latin1");
  const open = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? 1024);
  const each = Math.floor((open * DESCRIPTORS_SHARE) / Math.max(1, shares));
  const descriptors = Math.max(DESCRIPTORS_MIN, Math.min(DESCRIPTORS_MAX, each));
  return { nodes: NODES_MAX, descriptors };
}

export class NodeTable implements Disposable {
  readonly root: Node;
  readonly #limits: Limits;
  readonly #byId = new Map<number, Node>();
  readonly #byKey = new Map<string, Node>();
  /** Those with a descriptor that can be closed, the one unused for longest first. */
  readonly #open = new Set<Node>();
  #unlinked = 0;
  #nextId: number;

  /** `fault`s where the directory is not there. */
  constructor(directory: string, limits: Limits) {
    const flags = O_PATH | constants.O_DIRECTORY;
    const fd = call("open", Buffer.from(`${directory}\0`), flags, 0);
    if (fd < 0) throw new Fault(-fd);
    this.#limits = limits;
    // Ids of a server before this one mean nothing to it, and are not given again.
    this.#nextId = ROOT_ID + 1 + Math.floor(Math.random() * 2 ** 20) * 2 ** 32;
    this.root = {
      ...{ id: ROOT_ID, key: requireStatus(fd).key, kind: S_IFDIR, parent: undefined, name: "" },
      ...{ lookups: 1, children: 0, version: "", fd, isUnlinked: false },
      ...NEVER_REFUSED,
    };
    this.#byId.set(ROOT_ID, this.root);
    this.#byKey.set(this.root.key, this.root);
  }

  get size(): number {
    return this.#byId.size;
  }

  /** How many descriptors it has open. */
  get descriptors(): number {
    return this.#open.size + this.#unlinked + 1;
  }

  /** ESTALE for an id that was not given: the kernel looks for the name again then. */
  get(id: number): Node {
    const node = this.#byId.get(id);
    if (!node || node.lookups === 0) throw new Fault(ESTALE);
    return node;
  }

  /**
   * A descriptor of its path alone, which stays this table's, and open until others have been asked for. ESTALE when
   * it is not where it was.
   */
  fdOf(node: Node): number {
    const missing: Node[] = [];
    for (let at = node; at.fd < 0; ) {
      missing.push(at);
      if (!at.parent) throw new Fault(ESTALE);
      at = at.parent;
    }
    // Those that a caller has just got stay open.
    if (missing.length > this.#limits.descriptors / 2) throw new Fault(ELOOP);
    for (const each of missing.reverse()) this.#reopen(each);
    this.#touch(node);
    return node.fd;
  }

  statusOf(node: Node): Status {
    return requireStatus(this.fdOf(node));
  }

  /** The status that a node has, or that an open file of it has, is on its way to the kernel. */
  gave(id: number, status: Status): Status {
    const node = this.#byId.get(id);
    if (node) node.version = status.version;
    return status;
  }

  /** Whether the kernel was given the status that an open file of a node has. */
  isKnown(id: number, fd: number): boolean {
    return this.#byId.get(id)?.version === requireStatus(fd).version;
  }

  /** What has this name in a directory, counted once more; undefined: nothing. */
  look(directory: Node, name: string): { node: Node; status: Status } | undefined {
    const fd = openBeneath(this.fdOf(directory), checkedName(name), { flags: O_PATH });
    if (fd === -2) return undefined;
    if (fd < 0) throw new Fault(-fd);
    return this.#take(fd, directory, name);
  }

  #take(fd: number, parent: Node, name: string): { node: Node; status: Status } {
    let isKept = false;
    try {
      const status = requireStatus(fd);
      const { key } = status;
      const kind = status.mode & S_IFMT;
      const known = this.#byKey.get(key);
      if (known && known.kind === kind) {
        known.lookups++;
        known.version = status.version;
        if (known !== this.root && !isBelow(parent, known)) this.#place(known, parent, name);
        return { node: known, status };
      }
      if (this.#byId.size >= this.#limits.nodes) throw new Fault(ENOMEM);
      const id = this.#nextId++;
      const node: Node = {
        ...{ id, key, kind, parent, name, lookups: 1, children: 0, version: status.version },
        ...{ fd, isUnlinked: false, ...NEVER_REFUSED },
      };
      parent.children++;
      this.#byId.set(id, node);
      this.#byKey.set(key, node);
      this.#open.add(node);
      isKept = true;
      this.#closeOld();
      return { node, status };
    } finally {
      if (!isKept) call("close", fd);
    }
  }

  /** The kernel does not know it any more, as often as it did. */
  forget(id: number, lookups: bigint): void {
    const node = this.#byId.get(id);
    if (!node || node === this.root) return;
    node.lookups = Math.max(0, node.lookups - Number(lookups));
    this.#release(node);
  }

  #place(node: Node, parent: Node, name: string): void {
    const before = node.parent;
    node.name = name;
    if (before === parent) return;
    node.parent = parent;
    parent.children++;
    if (!before) return;
    before.children--;
    this.#release(before);
  }

  /** Unless something needs it: a machine may forget a directory before what is in it. */
  #release(unused: Node): void {
    for (let node = unused; node !== this.root && node.lookups === 0 && node.children === 0; ) {
      this.#byId.delete(node.id);
      if (this.#byKey.get(node.key) === node) this.#byKey.delete(node.key);
      if (node.isUnlinked) this.#unlinked--;
      this.#close(node);
      if (!node.parent) return;
      node = node.parent;
      node.children--;
    }
  }

  /** Before a name is removed or replaced: what the kernel still uses of it must not need it any more. */
  keepOpen(directory: Node, name: string): () => void {
    const fd = openBeneath(this.fdOf(directory), checkedName(name), { flags: O_PATH });
    if (fd < 0) return () => {};
    const status = statusOf(fd);
    const node = typeof status === "number" ? undefined : this.#byKey.get(new Status(status).key);
    const isNamed = node && node !== this.root && !node.isUnlinked && node.parent === directory;
    if (!isNamed || node.name !== name || this.#unlinked >= this.#limits.descriptors) {
      call("close", fd);
      return () => {};
    }
    if (node.fd < 0) node.fd = fd;
    else call("close", fd);
    this.#touch(node);
    this.#closeOld();
    return () => {
      if (node.fd < 0 || !this.#byId.has(node.id)) return;
      this.#open.delete(node);
      node.isUnlinked = true;
      this.#unlinked++;
    };
  }

  /** After a rename by the machine. */
  moved(from: { directory: Node; name: string }, to: { directory: Node; name: string }): void {
    const fd = openBeneath(this.fdOf(to.directory), checkedName(to.name), { flags: O_PATH });
    if (fd < 0) return;
    const status = statusOf(fd);
    call("close", fd);
    if (typeof status === "number") return;
    const node = this.#byKey.get(new Status(status).key);
    if (!node || node === this.root || isBelow(to.directory, node)) return;
    if (node.parent !== from.directory || node.name !== from.name) return;
    this.#place(node, to.directory, to.name);
  }

  [Symbol.dispose](): void {
    for (const node of this.#byId.values()) this.#close(node);
    this.#byId.clear();
    this.#byKey.clear();
  }

  #reopen(node: Node): void {
    const parent = node.parent;
    if (!parent || node.isUnlinked) throw new Fault(ESTALE);
    const fd = openBeneath(parent.fd, cName(node.name), { flags: O_PATH });
    if (fd < 0) throw new Fault(ESTALE);
    const status = statusOf(fd);
    if (typeof status === "number" || new Status(status).key !== node.key) {
      call("close", fd);
      throw new Fault(ESTALE);
    }
    node.fd = fd;
    this.#touch(node);
    this.#closeOld();
  }

  #touch(node: Node): void {
    if (node === this.root || node.isUnlinked) return;
    this.#open.delete(node);
    this.#open.add(node);
  }

  #closeOld(): void {
    for (const node of this.#open) {
      if (this.#open.size <= this.#limits.descriptors) return;
      this.#close(node);
    }
  }

  #close(node: Node): void {
    this.#open.delete(node);
    if (node.fd >= 0) call("close", node.fd);
    node.fd = -1;
  }
}

/** One name, as the kernel has it: no path. */
export function checkedName(name: string): Uint8Array {
  if (name.length > NAME_MAX_BYTES) throw new Fault(ENAMETOOLONG);
  if (name === "" || name === "." || name === ".." || name.includes("/") || name.includes("\0")) {
    throw new Fault(EINVAL);
  }
  return cName(name);
}

export function requireStatus(fd: number): Status {
  const status = statusOf(fd);
  if (typeof status === "number") throw new Fault(-status);
  return new Status(status);
}

export function isDirectory({ kind }: Node): boolean {
  return kind === S_IFDIR;
}

export function isFile({ kind }: Node): boolean {
  return kind === S_IFREG;
}

export function isSymlink({ kind }: Node): boolean {
  return kind === S_IFLNK;
}

function isBelow(directory: Node, node: Node): boolean {
  for (let at: Node | undefined = directory; at; at = at.parent) if (at === node) return true;
  return false;
}
