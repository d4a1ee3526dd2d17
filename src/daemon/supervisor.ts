/**
 * Restarts the daemon after a kill or a crash while machines depend on it: their published ports, their DNS,
 * their restart policies. A shell that waits at a pipe costs less than a megabyte, and the kernel closes the
 * pipe however the daemon ends. It then becomes the next daemon, so there is never more than one process to end.
 */
import { getLogger } from "@logtape/logtape";
import { messageOf } from "#base/error.ts";

/** A daemon that lives this long has not crashed because of its start. */
const STEADY_MS = 60_000;
const DISMISS_TIMEOUT_MS = 2000;

/**
 * Parameters: quick restarts so far, the lock, its holder's pid, the log, then the command. Whoever took the lock
 * meanwhile is left alone, and nothing happens where the state directory is gone.
 */
const SCRIPT = `n=$1 lock=$2 pid=$3 log=$4; shift 4
idle=
while read -r word; do case $word in stop) exit 0;; steady) n=0;; idle) idle=1;; need) idle=;; esac; done
[ -z "$idle" ] || exit 0
[ "$n" -lt 5 ] || { [ -e "$lock" ] && echo "The daemon ended $n times in a row and is not restarted" >>"$log"; exit 1; }
if [ "$n" -gt 0 ]; then
  trap 'kill $! 2>/dev/null; wait $!; exit 0' TERM; sleep $((1 << n)) & wait $!; trap - TERM
fi
read -r holder <"$lock" && [ "$holder" = "$pid" ] || exit 0
exec "$@" --restarts $((n + 1)) </dev/null >>"$log" 2>&1`;

const log = getLogger(["banger", "daemon"]);

/** What starts the daemon again. */
export interface Restart {
  /** The words of a command line, which takes `--restarts N` as well. */
  command: readonly string[];
  /** How often it was restarted in a row. */
  restarts: number;
}

interface SupervisorOptions extends Restart {
  paths: { daemonLock: string; daemonLog: string };
  /** Told of its pid, so that `daemon stop` ends it as well. */
  onChange: (pid: number | undefined) => void;
}

type Child = Bun.Subprocess<"pipe", "ignore", "ignore">;

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #children = new Set<Child>();
  #restarts: number;
  #current: Child | undefined;
  #isNeeded = false;
  #isOver = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#restarts = options.restarts;
    setTimeout(() => this.#steady(), STEADY_MS).unref();
  }

  /** Starts the process when it is first needed. From then on it stays: the next machine need not wait for it. */
  update(isNeeded: boolean): void {
    if (this.#isOver) return;
    if (isNeeded && !this.#current) this.#start();
    else if (isNeeded !== this.#isNeeded && this.#current)
      say(this.#current, isNeeded ? "need" : "idle");
    this.#isNeeded = isNeeded;
  }

  /** From now on the daemon ends for good. Waits for the process, though not forever. */
  async dismiss(): Promise<void> {
    this.#isOver = true;
    this.#end();
    const ended = Promise.all([...this.#children].map((child) => child.exited));
    await Promise.race([ended, Bun.sleep(DISMISS_TIMEOUT_MS)]);
  }

  #start(): void {
    const { command, paths, onChange } = this.#options;
    const parameters = [this.#restarts, paths.daemonLock, process.pid, paths.daemonLog].map(String);
    let child: Child;
    try {
      child = Bun.spawn(["sh", "-c", SCRIPT, "banger-supervisor", ...parameters, ...command], {
        // A signal to the daemon's process group is not for it.
        detached: true,
        cwd: "/",
        stdin: "pipe",
        stdout: "ignore",
        stderr: "ignore",
      });
    } catch (error) {
      log.warn("no restart after a crash: {message}", { message: messageOf(error) });
      return;
    }
    child.unref();
    this.#current = child;
    this.#children.add(child);
    onChange(child.pid);
    void child.exited.then(() => {
      this.#children.delete(child);
      if (this.#current !== child) return;
      this.#current = undefined;
      onChange(undefined);
      log.warn("the supervisor, pid {pid}, was ended", { pid: child.pid });
    });
  }

  #end(): void {
    const child = this.#current;
    if (!child) return;
    this.#current = undefined;
    say(child, "stop");
    this.#options.onChange(undefined);
  }

  #steady(): void {
    this.#restarts = 0;
    if (this.#current) say(this.#current, "steady");
  }
}

function say(child: Child, word: string): void {
  try {
    child.stdin.write(`${word}\n`);
    void Promise.resolve(child.stdin.flush()).catch(() => {});
  } catch {
    // It has been ended.
  }
}
