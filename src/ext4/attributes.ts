/** Attributes of a file: mode, owner, times, extended attributes. */

export interface Xattr {
  /** With its namespace, such as "security.capability", as bytes. */
  name: Uint8Array;
  value: Uint8Array;
}

export interface Attributes {
  /** Permission, setuid, setgid and sticky bits; file type bits are ignored. */
  mode: number;
  uid: number;
  gid: number;
  /** Whole seconds since 1970, negative before. */
  mtime_s: number;
  /** 0 to 999,999,999, forward from `mtime_s`. */
  mtime_ns: number;
  xattrs?: readonly Xattr[] | undefined;
}
