/**
 * One finding of `banger doctor`. Each domain exports its own checks; the doctor
 * only collects and prints them, so that it also works with the daemon down.
 */
export interface Check {
  /** Stable id, such as "kvm" or "net.tap". */
  id: string;
  title: string;
  /** `ok`; `warn`: works, but slower or with less; `fail`: machines cannot run without it. */
  status: "ok" | "warn" | "fail";
  /** What was found: a version, a path, a reason. */
  detail: string;
  /** The command that mends it. */
  fix?: string;
}
