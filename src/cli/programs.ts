/** The programs that the command line can become, which the main module hands in. Loaded when they are called for. */
import type { ExecRequest } from "#api/exec.ts";
import type { VmCreate } from "#api/vm.ts";

export interface Programs {
  daemon(): Promise<{
    /** Until it is told to stop. `restart`: what starts it again after a crash. */
    runDaemon(options: {
      restart?: { command: readonly string[]; restarts: number } | undefined;
    }): Promise<void>;
    /** Throws what is wrong with the configuration. */
    checkDaemon(): Promise<void>;
  }>;
  foreground(): Promise<{
    /** Gives the exit status. */
    runForeground(request: ForegroundRequest): Promise<number>;
  }>;
}

export interface ForegroundRequest {
  /** A machine, which is started and stopped; or an image, of which one is made for the command and removed. */
  name: string;
  create: VmCreate;
  exec: ExecRequest;
  entrypoint?: readonly string[] | undefined;
  /** Takes bytes at the pace of whoever reads them. */
  writeOut: (bytes: string | Uint8Array) => Promise<void>;
  writeErr: (bytes: string | Uint8Array) => Promise<void>;
  /** The console of a machine, which is the guest's text. */
  writeConsole: (text: string) => Promise<void>;
  /** What the command reads, where it is to read anything. */
  stdin?: AsyncIterable<Uint8Array> | undefined;
}
