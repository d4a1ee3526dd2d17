/** Files and directories that a machine has open, by the numbers that its kernel knows. */
import { call } from "./syscalls.ts";
import { Fault } from "./wire.ts";

const EBADF = 9;
const ENFILE = 23;
const LISTING_BYTES = 32 * 1024;
/** Directories that are being listed at once. More are read again from where they were. */
const LISTINGS_MAX = 64;

/** What of a directory is read and not passed on yet. */
export interface Listing {
  buffer: Buffer;
  length: number;
  at: number;
  /** Of the next entry; -1: not where the descriptor is. */
  position: bigint;
}

interface Handle {
  fd: number;
  listing: Listing | undefined;
}

export class Handles implements Disposable {
  readonly #max: number;
  readonly #open = new Map<number, Handle>();
  /** With a buffer, the one unused for longest first. */
  readonly #listings = new Set<Listing>();
  #next = 1 + Math.floor(Math.random() * 2 ** 20) * 2 ** 32;

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#open.size;
  }

  get listings(): number {
    return this.#listings.size;
  }

  /** The descriptor is this table's then, or closed if there are too many. */
  add(fd: number, kind: "file" | "directory"): number {
    if (this.#open.size >= this.#max) {
      call("close", fd);
      throw new Fault(ENFILE);
    }
    const id = this.#next++;
    const listing = { buffer: Buffer.alloc(0), length: 0, at: 0, position: 0n };
    this.#open.set(id, { fd, listing: kind === "directory" ? listing : undefined });
    return id;
  }

  fd(id: number): number {
    const handle = this.#open.get(id);
    if (!handle) throw new Fault(EBADF);
    return handle.fd;
  }

  listing(id: number): { fd: number; listing: Listing } {
    const handle = this.#open.get(id);
    if (!handle?.listing) throw new Fault(EBADF);
    const { fd, listing } = handle;
    // Most directories are never listed by those who open them.
    if (listing.buffer.length === 0) listing.buffer = Buffer.alloc(LISTING_BYTES);
    this.#listings.delete(listing);
    this.#listings.add(listing);
    for (const oldest of this.#listings) {
      if (this.#listings.size <= LISTINGS_MAX) break;
      Object.assign(oldest, { buffer: Buffer.alloc(0), length: 0, at: 0, position: -1n });
      this.#listings.delete(oldest);
    }
    return { fd, listing };
  }

  remove(id: number): void {
    const handle = this.#open.get(id);
    if (!handle) return;
    this.#open.delete(id);
    if (handle.listing) this.#listings.delete(handle.listing);
    call("close", handle.fd);
  }

  [Symbol.dispose](): void {
    for (const id of [...this.#open.keys()]) this.remove(id);
  }
}
