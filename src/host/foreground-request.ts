/** The request of `vm run --foreground` to the process that runs one machine without the daemon. */
import type { ExecRequest } from "#api/exec.ts";
import type { VmCreate } from "#api/vm.ts";

export interface ForegroundRequest {
  /** A machine, which is started and stopped; or an image, of which one is made for the command and removed. */
  name: string;
  create: VmCreate;
  exec: ExecRequest;
  entrypoint?: readonly string[] | undefined;
  /** Writes with backpressure. */
  writeOut: (bytes: string | Uint8Array) => Promise<void>;
  writeErr: (bytes: string | Uint8Array) => Promise<void>;
  /** The console of a machine, which is the guest's text. */
  writeConsole: (text: string) => Promise<void>;
  /** What the command reads, where it is to read anything. */
  stdin?: AsyncIterable<Uint8Array> | undefined;
}
