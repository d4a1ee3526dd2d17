/** The command line of banger-jail. */
import { existsSync } from "node:fs";
import type { JailKind } from "./program.ts";

/** Programs, libraries and what finds them, of every distribution: nothing in them is secret. */
const SYSTEM = [
  ...["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store"],
  ...["/etc/ld.so.cache", "/etc/alternatives"],
];
const DEVICES = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"];

/** Where the program may write in a root of its own: memory, which goes with it. */
export const SCRATCH = "/scratch";

/** Whether a jail has this path anyway. */
export function isOfSystem(path: string): boolean {
  return SYSTEM.some((each) => path === each || path.startsWith(`${each}/`));
}

export interface JailPlan {
  kind: JailKind;
  /** As the jail's process has it: a descriptor of banger-jail. */
  program: number;
  /** An existing folder, on which the new root is put together. */
  base: string;
  /** What it may see at the same paths: files, and folders with what is below them. */
  readOnly: readonly string[];
  writable: readonly string[];
  devices: readonly string[];
  /** Whom it becomes; undefined: it stays who it is. */
  user: { uid: number; gid: number } | undefined;
  /** It stays root and may act on files of all users, as far as it sees them. */
  keepsFiles: boolean;
  /** Folders of users are among these, which 9P gives to a guest. */
  hasFolders: boolean;
  /** It uses the network itself. */
  network: boolean;
  endsWithUs: boolean;
}

/** What comes before the program and its arguments. */
export function jailArguments(plan: JailPlan): string[] {
  const isRoot = plan.kind === "namespaces";
  const all = (option: string, paths: readonly string[]) => paths.flatMap((path) => [option, path]);
  return [
    ...[`/proc/self/fd/${plan.program}`, "--self", String(plan.program)],
    ...(isRoot ? ["--base", plan.base, "--scratch", SCRATCH] : ["--landlock"]),
    ...all("--system", SYSTEM.filter(existsSync)),
    ...all("--dev", [...DEVICES, ...plan.devices].filter(existsSync)),
    ...all("--ro", plan.readOnly),
    ...all("--rw", plan.writable),
    ...(plan.user ? ["--uid", String(plan.user.uid), "--gid", String(plan.user.gid)] : []),
    ...(plan.keepsFiles ? ["--keep-files"] : []),
    ...(plan.network || !isRoot ? [] : ["--no-network"]),
    // The kernel's name for a file that is open, by which 9P changes modes.
    ...(plan.hasFolders ? ["--proc"] : []),
    ...(plan.endsWithUs ? ["--tied"] : []),
    "--",
  ];
}
