/** Virtual machines from OCI images: the exports of the published package. */
export { BangerError, type ErrorCode } from "#base/error.ts";
export {
  Banger,
  type Images,
  type Kernels,
  type Machines,
  type Snapshots,
  type Volumes,
} from "./banger.ts";
export type { Process } from "./machine/command.ts";
export type { Files } from "./machine/files.ts";
export { Machine } from "./machine/machine.ts";
export type { Forward, Ports } from "./machine/ports.ts";
export type { Session, Sessions } from "./machine/sessions.ts";
export type * from "./mounts.ts";
export type * from "./types.ts";
