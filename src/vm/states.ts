/** The only way to change a machine's record: along the table of states, with an event for listeners. */
import type { Database } from "bun:sqlite";
import { assertHere, type Owner } from "#vm/life/owner.ts";
import { assertVolumesFree } from "#vm/volumes/hold.ts";
import type { VmDeps } from "./deps.ts";
import type { Events } from "./events.ts";
import { deleteVm, getVm, updateVm, type VmChange, type VmRecord } from "./records.ts";

export class States {
  readonly #db: Database;
  readonly #events: Events;
  readonly #self: Owner | undefined;

  constructor({ db, owner }: Pick<VmDeps, "db" | "owner">, events: Events) {
    this.#db = db;
    this.#events = events;
    this.#self = owner;
  }

  /** Looks and changes in one transaction, since other processes run machines of the same store. */
  set(id: string, change: VmChange): VmRecord {
    const vm = this.#db
      .transaction(() => {
        const before = getVm(this.#db, id);
        assertHere(before, "change", this.#self);
        if (change.state === "starting") assertVolumesFree(this.#db, before);
        return updateVm(this.#db, before, change);
      })
      .immediate();
    if (change.state) {
      const exit = change.exit ? { exit: change.exit } : {};
      this.#events.publish({ id, name: vm.name, state: change.state, ...exit });
    }
    return vm;
  }

  /** When nothing is held any more. */
  remove({ id, name }: Pick<VmRecord, "id" | "name">): void {
    deleteVm(this.#db, id);
    this.#events.publish({ id, name, state: "removed" });
  }
}
