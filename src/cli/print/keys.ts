/** Reads single keys while a screen is shown. */
import { pause } from "#cli/pause.ts";

const CTRL_C = 0x03;

export interface Keys extends Disposable {
  /** Gives true as soon as q was pressed. Fails with the signal's reason when it fires. */
  pause(ms: number, signal: AbortSignal): Promise<boolean>;
}

/** Where there is no picture on a terminal nobody presses a key. */
export function watchKeys({ isPicture }: { isPicture: boolean }): Keys {
  const { stdin } = process;
  if (!isPicture || !stdin.isTTY || !process.stdout.isTTY) {
    return {
      async pause(ms, signal) {
        await pause(ms, signal);
        return false;
      },
      [Symbol.dispose]() {},
    };
  }
  const quit = Promise.withResolvers<true>();
  const restore = (): void => void stdin.setRawMode(false);
  const onData = (bytes: Buffer): void => {
    // The terminal makes no signal of it any more.
    if (bytes.includes(CTRL_C)) process.kill(process.pid, "SIGINT");
    else if (/[qQ]/.test(bytes.toString("latin1"))) quit.resolve(true);
  };
  stdin.setRawMode(true);
  stdin.on("data", onData);
  process.on("exit", restore);
  return {
    async pause(ms, signal) {
      return await Promise.race([quit.promise, pause(ms, signal).then(() => false)]);
    },
    [Symbol.dispose]() {
      process.off("exit", restore);
      stdin.off("data", onData);
      stdin.pause();
      restore();
    },
  };
}
