/** One round of a mirror: compares both sides, and carries out what follows. */
import { readFileSync, statSync } from "node:fs";
import { throwIfAborted } from "#base/abort.ts";
import type { TreeEntry } from "#base/files/tree-records.ts";
import { MiB } from "#base/size.ts";
import { HostView } from "#workspace/in/host-files.ts";
import { type TarItem, tarOf } from "#workspace/in/tar-out.ts";
import { parentOf } from "#workspace/names.ts";
import { signatureOf } from "#workspace/record.ts";
import {
  compare,
  type Direction,
  type Equal,
  type Fetch,
  type Keep,
  type Step,
} from "./compare.ts";
import type { GuestSide } from "./guest-side.ts";
import type { HostScan, HostSide } from "./host-scan.ts";
import type { HostTree, Outcome, Staged } from "./host-tree.ts";
import type { LivePort } from "./ports.ts";
import { dropStaged, FILE_MAX_BYTES, stageFiles } from "./stage.ts";

const CHUNK_NAMES = 2000;
const CHUNK_BYTES = 512 * MiB;
const REMOVALS_AT_ONCE = 16;

export interface Carried {
  kind:
    | "sent"
    | "fetched"
    | "removed-vm"
    | "removed-host"
    | "conflict"
    | "spared"
    | "refused"
    | "too-large"
    | "secret";
  name: string;
  /** Of a conflict: what was kept, and where. */
  as?: string;
}

export interface RoundInput {
  path: string;
  direction: Direction;
  scratch: string;
  base: Map<string, Equal>;
  host: HostScan;
  guest: GuestSide;
  hostSide: HostSide;
  /** The user's directory. */
  top: string;
  tree: HostTree;
  /** Of what is not mirrored, what the user has been told. */
  told: Set<string>;
  signal: AbortSignal;
  onCarried(carried: Carried): Promise<void> | void;
}

type Taking = Fetch | Keep;

export class Round {
  readonly #port: LivePort;
  readonly #input: RoundInput;
  readonly #view: HostView;
  readonly #top: string;
  /** Changed on both sides, to the same. */
  readonly #same = new Set<string>();
  #isChanged = false;
  #isUnsettled = false;

  constructor(port: LivePort, input: RoundInput) {
    this.#port = port;
    this.#input = input;
    this.#top = input.top;
    this.#view = new HostView(input.top);
  }

  /** Whether the base has changed, and whether something changed meanwhile, so that another round is needed. */
  async run(): Promise<{ isChanged: boolean; isUnsettled: boolean }> {
    const { host, guest, base, direction } = this.#input;
    const hidden = await this.#hidden();
    const states = { host: host.files, guest: guest.files, base, hidden };
    const { steps, equal, gone, spared } = compare(states, direction);
    for (const name of equal) this.#setEqual(name, host.files.get(name), guest.files.get(name));
    for (const name of gone) this.#isChanged = base.delete(name) || this.#isChanged;
    for (const name of spared) await this.#tell("spared", name);
    const open = steps.filter((step) => !this.#input.told.has(this.#refusalOf(step.name)));
    await this.#removeOnHost(open);
    for (const chunk of this.#chunks(open)) await this.#take(chunk);
    await this.#removeInGuest(open);
    await this.#send(open);
    return { isChanged: this.#isChanged, isUnsettled: this.#isUnsettled };
  }

  async #hidden(): Promise<Set<string>> {
    const { host, guest, base, hostSide } = this.#input;
    const names = new Set([...guest.files.keys(), ...base.keys()]);
    const hidden = await hostSide.hidden([...names].filter((name) => !host.files.has(name)));
    for (const name of host.tooLarge) await this.#tell("too-large", name, hidden);
    for (const [name, entry] of guest.files)
      if (entry.size > FILE_MAX_BYTES && !hidden.has(name))
        await this.#tell("too-large", name, hidden);
    for (const name of host.secrets) await this.#tell("secret", name);
    return hidden;
  }

  async #tell(kind: Carried["kind"], name: string, hidden?: Set<string>): Promise<void> {
    const { told, onCarried } = this.#input;
    hidden?.add(name);
    if (told.has(`${kind} ${name}`)) return;
    told.add(`${kind} ${name}`);
    await onCarried({ kind, name });
  }

  #refusalOf(name: string): string {
    const entry = this.#input.guest.files.get(name);
    return `refused ${entry ? signatureOf(entry) : ""} ${name}`;
  }

  async #carried(carried: Carried): Promise<void> {
    throwIfAborted(this.#input.signal);
    await this.#input.onCarried(carried);
  }

  #setEqual(name: string, host: TreeEntry | undefined, guest: TreeEntry | undefined): void {
    const { base } = this.#input;
    if (!host || !guest) return;
    const next = { host: signatureOf(host), guest: signatureOf(guest) };
    const known = base.get(name);
    if (known?.host === next.host && known.guest === next.guest) return;
    base.set(name, next);
    this.#isChanged = true;
  }

  #forget(name: string): void {
    this.#input.base.delete(name);
    this.#isChanged = true;
  }

  /** False if the step was not carried out. */
  async #check(name: string, outcome: Outcome): Promise<boolean> {
    if (outcome === "done") return true;
    if (outcome === "changed") this.#isUnsettled = true;
    else {
      this.#input.told.add(this.#refusalOf(name));
      await this.#carried({ kind: "refused", name });
    }
    return false;
  }

  #hostSignature(name: string): string | undefined {
    const entry = this.#input.host.files.get(name);
    return entry && signatureOf(entry);
  }

  async #removeOnHost(steps: readonly Step[]): Promise<void> {
    const { tree, host } = this.#input;
    for (const { kind, name } of steps) {
      if (kind !== "remove-host") continue;
      if (!(await this.#check(name, tree.remove(name, this.#hostSignature(name))))) continue;
      host.files.delete(name);
      this.#forget(name);
      await this.#carried({ kind: "removed-host", name });
    }
  }

  *#chunks(steps: readonly Step[]): Generator<Taking[]> {
    let chunk: Taking[] = [];
    let size = 0;
    for (const step of steps) {
      if (step.kind !== "fetch" && step.kind !== "keep-guest" && step.kind !== "keep-host")
        continue;
      chunk.push(step);
      size += this.#input.guest.files.get(step.name)?.size ?? 0;
      if (chunk.length < CHUNK_NAMES && size < CHUNK_BYTES) continue;
      yield chunk;
      [chunk, size] = [[], 0];
    }
    if (chunk.length > 0) yield chunk;
  }

  /** Content from the machine: onto the host, and under another name where both sides have changed. */
  async #take(steps: readonly Taking[]): Promise<void> {
    const { path, guest, scratch, direction } = this.#input;
    const all = new Map<string, Staged>();
    for (const { name } of steps) {
      const known = guest.staged.get(name);
      if (known) all.set(name, known);
    }
    const names = steps.map(({ name }) => name).filter((name) => !all.has(name));
    const isThere = names.filter((name) => guest.files.has(name));
    const got = await stageFiles(this.#port, { path, names: isThere, folder: scratch });
    for (const [name, staged] of got) all.set(name, staged);
    try {
      const copies: TarItem[] = [];
      for (const step of steps) {
        const staged = all.get(step.name);
        if (staged) guest.set(step.name, staged.entry);
        const isConflict = step.kind !== "fetch";
        if (isConflict && staged && this.#hasSameContent(step.name, staged)) {
          this.#setEqual(step.name, this.#input.host.files.get(step.name), staged.entry);
          this.#same.add(step.name);
        } else if (step.kind === "keep-host") await this.#keepHost(step, staged);
        else if (!staged) this.#isUnsettled = true;
        else if (step.kind === "fetch") await this.#fetch(step.name, staged);
        else copies.push(...(await this.#keepGuest(step, staged, direction === "both")));
      }
      await this.#extract(copies);
    } finally {
      dropStaged(got.values());
    }
  }

  async #fetch(name: string, staged: Staged): Promise<boolean> {
    if (!(await this.#write(name, staged, this.#hostSignature(name)))) return false;
    await this.#carried({ kind: "fetched", name });
    return true;
  }

  async #write(name: string, staged: Staged, expected: string | undefined): Promise<boolean> {
    const { tree, host } = this.#input;
    if (!(await this.#check(name, tree.write(name, staged, expected)))) return false;
    const entry = new HostView(this.#top).lstat(name);
    if (entry) host.files.set(name, entry);
    this.#setEqual(name, entry, staged.entry);
    return true;
  }

  #hasSameContent(name: string, { path, entry }: Staged): boolean {
    const mine = this.#input.host.files.get(name);
    if (!mine || (mine.mode & 0o170100) !== (entry.mode & 0o170100)) return false;
    if (path === undefined) return mine.target === entry.target;
    if (mine.size !== entry.size || statSync(path).size !== entry.size) return false;
    try {
      return readFileSync(path).equals(readFileSync(this.#view.bytes(name)));
    } catch {
      return false;
    }
  }

  async #keepHost({ name, as }: Keep, staged: Staged | undefined) {
    const { tree, host } = this.#input;
    if (!(await this.#check(name, tree.keep(name, as)))) return;
    host.files.delete(name);
    this.#forget(name);
    await this.#carried({ kind: "conflict", name, as });
    if (staged) await this.#fetch(name, staged);
  }

  async #keepGuest({ name, as }: Keep, staged: Staged, isOnHost: boolean): Promise<TarItem[]> {
    if (isOnHost && !(await this.#write(as, staged, undefined))) return [];
    await this.#carried({ kind: "conflict", name, as });
    const entry = { ...staged.entry, name: as };
    return [{ kind: "host", path: staged.path ?? "", entry }];
  }

  /** Also what is in the way of a file of the host's. */
  async #removeInGuest(steps: readonly Step[]): Promise<void> {
    const { guest, host, told } = this.#input;
    const names = steps
      .filter(({ kind, name }) => {
        const isInTheWay = kind === "keep-guest" && !host.files.has(name);
        return kind === "remove-guest" || (isInTheWay && !told.has(this.#refusalOf(name)));
      })
      .map(({ name }) => name);
    for (let at = 0; at < names.length; at += REMOVALS_AT_ONCE) {
      throwIfAborted(this.#input.signal);
      const some = names.slice(at, at + REMOVALS_AT_ONCE);
      await Promise.all(some.map((name) => this.#port.remove(this.#input.path, name)));
      for (const name of some) {
        guest.set(name, undefined);
        this.#forget(name);
      }
    }
    for (const { kind, name } of steps)
      if (kind === "remove-guest") await this.#carried({ kind: "removed-vm", name });
    await this.#removeEmptyInGuest(names);
  }

  async #removeEmptyInGuest(names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    const used = new Set<string>();
    for (const name of this.#input.guest.files.keys())
      for (let at = parentOf(name); at !== "" && !used.has(at); at = parentOf(at)) used.add(at);
    const empty = new Set<string>();
    for (const name of names)
      for (let at = parentOf(name); at !== "" && !used.has(at); at = parentOf(at)) empty.add(at);
    for (const folder of [...empty].toSorted((a, b) => b.length - a.length))
      await this.#port.removeEmpty(this.#input.path, folder);
  }

  async #send(steps: readonly Step[]): Promise<void> {
    const { host } = this.#input;
    const names = steps.flatMap(({ kind, name }) =>
      kind === "send" || (kind === "keep-guest" && !this.#same.has(name)) ? [name] : [],
    );
    const entries = names.flatMap((name) => host.files.get(name) ?? []);
    await this.#extract(
      entries.map((entry) => ({ kind: "host", path: this.#view.bytes(entry.name), entry })),
    );
    for (const entry of entries) {
      this.#setEqual(entry.name, entry, entry);
      await this.#carried({ kind: "sent", name: entry.name });
    }
  }

  async #extract(items: readonly TarItem[]): Promise<void> {
    const { path, guest, signal, direction } = this.#input;
    if (items.length === 0) return;
    // A file that is written meanwhile is sent again by the next round, as its time has changed.
    await this.#port.extract(path, tarOf(items, { signal, checksTimes: false }));
    for (const item of items) {
      if (item.kind !== "host") continue;
      guest.set(item.entry.name, item.entry);
      if (direction !== "both") continue;
      const { host } = this.#input;
      this.#setEqual(item.entry.name, host.files.get(item.entry.name), item.entry);
    }
  }
}
