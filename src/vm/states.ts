/** The one way in which a machine's record changes: along the table, and told to whoever listens. */
import type { Database } from "bun:sqlite";
import type { Events } from "./events.ts";
import { deleteVm, getVm, updateVm, type VmChange, type VmRecord } from "./records.ts";

export class States {
  readonly #db: Database;
  readonly #events: Events;

  constructor(db: Database, events: Events) {
    this.#db = db;
    this.#events = events;
  }

  set(id: string, change: VmChange): VmRecord {
    const vm = updateVm(this.#db, getVm(this.#db, id), change);
    if (change.state) {
      const exit = change.exit ? { exit: change.exit } : {};
      this.#events.publish({ id, name: vm.name, state: change.state, ...exit });
    }
    return vm;
  }

  /** When nothing is held any more. */
  remove({ id, name }: VmRecord): void {
    deleteVm(this.#db, id);
    this.#events.publish({ id, name, state: "removed" });
  }
}
