/** The public types of volumes, of what a machine mounts, and of its limits. */

/** A volume as a machine mounts it. */
export interface VolumeMount {
  volume: string;
  path: string;
  readOnly?: boolean | undefined;
}

/** A directory of the daemon's host as a machine mounts it. */
export interface SharedDirectory {
  /** Absolute path on the host. */
  source: string;
  path: string;
  readOnly?: boolean | undefined;
}

export interface VolumeInfo {
  name: string;
  /** Its limit; it takes the space that is written. */
  size_bytes: number;
  allocated_bytes: number;
  /** Machines that mount it, running or not. */
  machines: string[];
  createdAt: string;
}

/** A limit of commands that are started in the machine. -1: unlimited. */
export interface ResourceLimit {
  name:
    | "cpu"
    | "fsize"
    | "data"
    | "stack"
    | "core"
    | "rss"
    | "nproc"
    | "nofile"
    | "memlock"
    | "as"
    | "locks"
    | "sigpending"
    | "msgqueue"
    | "nice"
    | "rtprio"
    | "rttime";
  soft: number;
  hard: number;
}

/** Averages per second; 0, the default: none. Sizes are bytes, or text such as "50M". */
export interface LimitOptions {
  /** What each disk reads and writes. */
  diskBandwidth?: number | string | undefined;
  /** Reads and writes of each disk. */
  diskIops?: number | undefined;
  /** What the machine receives from its network; only with `nat` and `host`. */
  netIn?: number | string | undefined;
  /** What it sends. */
  netOut?: number | string | undefined;
}

/** Mounts and limits of a new machine. Sizes are bytes, or text such as "512M". */
export interface MountOptions {
  /** Volumes to mount; those that do not exist are created. */
  volumes?: VolumeMount[] | undefined;
  /** Directories of the host to share. Requires QEMU and a kernel with the feature 9p. */
  shares?: SharedDirectory[] | undefined;
  tmpfs?:
    | { path: string; size?: number | string | undefined; mode?: number | undefined }[]
    | undefined;
  /** Size of /dev/shm. Default: half of the memory. */
  shmSize?: number | string | undefined;
  /** Size of a swap file on the machine's disk. Default: none. */
  swap?: number | string | undefined;
  /** Mount the root file system read-only. */
  readOnly?: boolean | undefined;
  sysctls?: Record<string, string> | undefined;
  ulimits?: ResourceLimit[] | undefined;
  limits?: LimitOptions | undefined;
}
