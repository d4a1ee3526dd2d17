/**
 * The programs that the command line can become (daemon, foreground machine), passed in by the main module and loaded
 * on demand.
 */
import type { ForegroundRequest } from "#host/foreground-request.ts";

export interface Programs {
  daemon(): Promise<{
    /** Until it is told to stop. `restart`: what starts it again after a crash. */
    runDaemon(options: {
      restart?: { command: readonly string[]; restarts: number } | undefined;
    }): Promise<void>;
    /** Throws what is wrong with the configuration. */
    checkDaemon(): Promise<void>;
  }>;
  networkHelper(): Promise<{
    /** Until its stdin ends. */
    runNetworkHelper(): Promise<void>;
  }>;
  shareServer(): Promise<{
    /** Until its machine has ended. */
    serveShares(configPath: string): Promise<void>;
  }>;
  foreground(): Promise<{
    /** Gives the exit status. */
    runForeground(request: ForegroundRequest): Promise<number>;
  }>;
}
