import type { VmRecord } from "#vm/records.ts";

/** Templates that are made in the background, before a machine needs one. */
export interface NextTemplates {
  /** Makes that of machines like `vm` on a layer that was kept just now. */
  begin(vm: VmRecord, provisioned: string): void;
  /** Their machines have directories, and no record. */
  readonly ids: ReadonlySet<string>;
  /** Ends the one that is being made; false if there is none. */
  giveWay(): Promise<boolean>;
  /** Ends all, and begins no other. */
  stop(): Promise<void>;
}
