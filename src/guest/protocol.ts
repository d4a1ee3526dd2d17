/**
 * The guest protocol: this comment is its specification. scripts/protocol-header.ts generates
 * `guest/wire/protocol.h` from the constants here; `guest/golden.hex` holds frames that both sides
 * must read and write alike.
 *
 * TRANSPORT. One reliable byte pipe per machine: the virtio-serial port "org.banger.agent", or a
 * connection to vsock port 1024 of the guest. The pipe may hold stale bytes of an earlier host in
 * both directions, and half a frame of them.
 *
 * FRAME. All numbers are little-endian.
 *
 *     offset 0  u8   type, never 0
 *            1  u8   flags
 *            2  u16  length of the payload, at most MAX_PAYLOAD_BYTES
 *            4  u32  stream; 0 is the connection itself
 *            8       payload
 *       8+len  u8    TRAILER: a frame without it is dropped unread, and the pipe is out of step
 *
 * A zero byte where a frame would begin is padding and is skipped.
 *
 * FIELDS. The payload of every frame but data, credit, sync and hello's first 16 bytes is a list of
 * fields: u16 tag, u32 length, value. Unknown tags are skipped, unknown frame types are skipped,
 * tags and types are never reused: so an older side and a newer side do what both know. A tag may
 * come several times where it is a list. A number is 1 to 8 bytes; text is UTF-8 without NUL.
 *
 * SYNC. The host speaks first. It sends SYNC_PADDING_BYTES zero bytes, which complete and thereby
 * (for want of a trailer) void any frame that an earlier host left half sent, and then a sync frame:
 * SYNC_MAGIC and a fresh nonce of 16 bytes. The guest ends every stream, drops what it had queued
 * for the earlier host, and answers hello: the nonce, then fields. The host skips everything up to a
 * hello with its nonce; a host that gets no answer sends another sync with another nonce and takes
 * only the latest. A guest that starts afresh, or that is out of step, sends beacon; to a host in
 * the middle of a connection that means that the connection is lost.
 *
 * STREAMS. The host opens streams, with odd numbers that never repeat within a connection (even
 * ones are kept for streams that the guest may open one day).
 *
 *     host → guest   open     kind and its parameters; with FLAG_MORE the fields go on in the next
 *                             frame, which must be an open of the same stream. MAX_OPEN_BYTES in all
 *     guest → host   opened   it runs; credit for the host's data (and pid for exec)
 *     both ways      data     flags carry the channel; takes credit
 *     both ways      eof      no more data on this channel; from the guest on CHANNEL_IN: not wanted
 *     both ways      credit   u32: so many bytes more may be sent; one account per stream and direction
 *     host → guest   control  resize, signal
 *     host → guest   close    cancel: the guest sends SIGHUP to the stream's processes, later SIGKILL
 *     guest → host   close    the end of the stream, exactly once for every open: result or error
 *
 * The guest's credit begins with the `window` field of open, the host's with that of opened. More
 * data than credit is a violation. After its close the host ignores what still comes for the stream;
 * the number is free when the guest's close arrives. Requests without data (health, time, shutdown)
 * are streams that the guest closes at once with the answer.
 *
 * PROGRAMS. An exec whose first argument is AGENT_PATH runs a program that is built into the agent, in a
 * process of its own, for every user and wherever the agent's file is: `tar-out PATH NAME...`, `tar-in PATH
 * OWNER`, `stat PATH`, `list PATH`, `read PATH OFFSET LENGTH`, `write PATH MODE`, `mkdir PATH MODE
 * PARENTS`, `remove PATH RECURSIVE` (feature "files"); `tree PATH` (feature "tree", with
 * which `tar-out` takes more than one pair; see guest/files/tarout.h); `watch PATH RECURSIVE` (feature "watch", see
 * guest/files/changes.h); `freeze`; `processes`; `ports`; `stats` (features of these names);
 * `session-start DIRECTORY NAME`, `session-list DIRECTORY`, `session-attach DIRECTORY NAME OFFSET`,
 * `session-send DIRECTORY NAME OFFSET`, `session-control DIRECTORY NAME VERB VALUE` (feature "sessions", see session.ts);
 * `sftp`, a server of SFTP version 3 (feature "sftp"); `listen KIND ADDRESS PORT` (feature "listen", see
 * guest/programs/listen.h); `datagrams ADDRESS PORT` (feature "datagrams", see
 * guest/programs/datagrams.h); `step WORD...`, which runs a command of a build, and `relay CLIENTS HOST
 * MODE UID GID` (feature "step", see guest/programs/step.h and guest/programs/relay.h); `setup STEP...` (feature
 * "setup", see guest/setup/setup.h). They write their
 * result to stdout, as bytes or fields. A program that fails writes the fields error and message to stderr
 * and exits with status 1.
 *
 * GOODBYE. Right before the guest powers off or resets, it sends one line, "poweroff", "reboot" or
 * "leaving", over a separate port (guest/wire/goodbye.h), and the driver acknowledges it:
 * src/vmm/goodbye.ts.
 *
 * IDENTITY. A machine whose boot record has the field template stops before it has a name, a network
 * or a key; its hello says so. The request identity carries a boot record without that field: the
 * machine becomes the one that the record describes. With the feature "assume" any machine takes it, at
 * any time. If the answer has the field isUnsettled, the program `settle` completes the change: it reloads
 * services, runs the hooks of the image, and prints a line for each that failed.
 *
 * EVENTS. The guest sends event frames on stream 0: after hello every boot phase so far, later each
 * new one, and log lines of a running installation.
 */

/** Grows only if a change cannot be expressed by a new tag, type or feature. */
export const PROTOCOL = 1;

/** The virtio-serial port of the agent, and its vsock port in the guest. */
export const PORT_NAME = "org.banger.agent";
export const VSOCK_PORT = 1024;
/** For the shutdown notice (GOODBYE): a virtio-serial port, and a vsock port of the host. */
export const GOODBYE_PORT_NAME = "org.banger.goodbye";
export const VSOCK_GOODBYE_PORT = 1025;
/** The agent's executable in the guest; argv[0] of its programs. */
export const AGENT_PATH = "/run/banger/banger-vsock-agent";

export const HEADER_BYTES = 8;
export const MAX_PAYLOAD_BYTES = 32_752;
export const TRAILER = 0xe7;
/** Header, payload and trailer: the most that one frame takes. */
export const MAX_FRAME_BYTES = HEADER_BYTES + MAX_PAYLOAD_BYTES + 1;
export const SYNC_PADDING_BYTES = 32_768;
export const SYNC_MAGIC = "BANGSYNC";
export const NONCE_BYTES = 16;
/** More than the 2 MiB that Linux lets the arguments and environment of a program have. */
export const MAX_OPEN_BYTES = 2304 * 1024;
export const MAX_BOOT_RECORD_BYTES = 2560 * 1024 - 2;
/** Disks between the image and the writable one. */
export const MAX_LOWERS = 8;

export const FrameType = {
  sync: 1,
  hello: 2,
  beacon: 3,
  event: 4,
  open: 16,
  opened: 17,
  data: 18,
  eof: 19,
  credit: 20,
  control: 21,
  close: 22,
} as const;

/** The two low bits of `flags` on data and eof. */
export const CHANNEL_MASK = 0x03;
/** Host to guest: stdin, or what goes to the socket. */
export const CHANNEL_IN = 0;
/** Guest to host: stdout, terminal output, or what comes from the socket. */
export const CHANNEL_OUT = 1;
/** Guest to host: stderr. */
export const CHANNEL_ERR = 2;
/** On open: the fields go on in the next frame. */
export const FLAG_MORE = 0x80;

export const Kind = { exec: 1, connect: 2, health: 3, time: 4, shutdown: 5, identity: 6 } as const;
export type KindCode = (typeof Kind)[keyof typeof Kind];

/** Tags 1 to 255 belong to frames and to the output of the agent's programs, 256 and above to the boot record. */
export const Tag = {
  // hello
  protocol: 1,
  version: 2,
  bootId: 3,
  feature: 4,
  maxStreams: 5,
  mode: 6,
  /** The machine was restored from a template and has no identity yet. */
  isTemplate: 7,
  // answer to identity
  /** The program `settle` is to be run. */
  isUnsettled: 8,
  // open, opened, control
  kind: 16,
  argument: 17,
  env: 18,
  cwd: 19,
  user: 20,
  /** u16 columns, u16 rows. */
  terminal: 21,
  stdin: 22,
  window: 23,
  signal: 24,
  host: 25,
  port: 26,
  path: 27,
  pid: 28,
  time_ns: 29,
  reboot: 30,
  /** Missing directories of `cwd` are created. */
  makeCwd: 36,
  // close
  exitCode: 40,
  exitSignal: 41,
  error: 42,
  message: 43,
  // event
  phase: 50,
  text: 51,
  uptime_ms: 52,
  // health
  memoryTotal_bytes: 60,
  memoryAvailable_bytes: 61,
  load_milli: 62,
  processes: 63,
  streams: 64,
  // what the agent's programs print
  entry: 80,
  fileName: 81,
  fileMode: 82,
  fileSize_bytes: 83,
  fileUid: 84,
  fileGid: 85,
  fileLinks: 86,
  fileTarget: 87,
  count: 88,
  protocolName: 89,
  cpuUser_ms: 90,
  cpuSystem_ms: 91,
  cpuIdle_ms: 92,
  cpuIowait_ms: 93,
  cpuSteal_ms: 94,
  cpuCount: 95,
  memoryFree_bytes: 96,
  memoryCached_bytes: 97,
  swapTotal_bytes: 98,
  swapFree_bytes: 99,
  spaceTotal_bytes: 100,
  spaceUsed_bytes: 101,
  spaceAvailable_bytes: 102,
  disk: 103,
  interface: 104,
  read_bytes: 105,
  readCount: 106,
  readLost: 107,
  write_bytes: 108,
  writeCount: 109,
  writeLost: 110,
  /** Of a session's output that is kept: its first byte, and the byte after its last. */
  offset: 111,
  offsetEnd: 112,
  inputOffset: 113,
  parent: 114,
  state: 115,
  resident_bytes: 116,
} as const;

/** Tags of the boot record; src/guest/boot.ts has what each holds. */
export const BootTag = {
  mode: 256,
  hostname: 257,
  rootfs: 258,
  machineId: 259,
  module: 260,
  env: 261,
  time_unix_ns: 262,
  entropySeed: 263,
  authorizedKey: 264,
  sshHostKey: 265,
  mac: 266,
  address: 267,
  gateway: 268,
  dns: 269,
  mtu: 270,
  searchDomain: 271,
  hostEntry: 272,
  lowers: 273,
  address6: 274,
  gateway6: 275,
  build: 276,
  isUserNetwork: 277,
  /** The machine becomes a template: the hardware address of its interface, which stays down. */
  template: 278,
  /** The size that the disk of a restored machine has, or is about to get; its file system follows. */
  disk_bytes: 279,
  /** The disk after the writable one has the kernel's modules. */
  modulesDisk: 280,
} as const;

/** Records of the program `listen`; guest/programs/listen.h has their format. */
export const ListenRecord = { ready: 1, open: 2, data: 3, eof: 4, credit: 5, close: 6 } as const;
/** The credit that both directions of its connections begin with. */
export const LISTEN_WINDOW_BYTES = 64 * 1024;
export const MAX_LISTEN_RECORD_BYTES = 32_768;

/** Records of the program `session-attach`; guest/programs/session.h has their format. */
export const SessionRecord = { data: 1, end: 2 } as const;
export const MAX_SESSION_NAME_BYTES = 64;
/** Added to a signal that is for the session's first process only. */
export const SESSION_SIGNAL_LEADER = 256;

/** `kind` of an entry of the program `watch`. */
export const Change = {
  ready: 0,
  created: 1,
  changed: 2,
  attributes: 3,
  removed: 4,
  overflow: 5,
} as const;

/** What this version of the agent can do, as its hello lists it. */
export const agentFeatures = [
  "exec",
  "connect",
  "health",
  "time",
  "shutdown",
  "events",
  "files",
  "ports",
  "stats",
  "sessions",
  "sftp",
  "listen",
  "datagrams",
  "watch",
  "freeze",
  "processes",
  "step",
  "identity",
  "assume",
  "tree",
  "setup",
] as const;

/** Values of the `error` tag, a closed set on the guest's side; the host takes others as `internal`. */
export const guestErrors = [
  "not_found",
  "permission_denied",
  "invalid_argument",
  "unsupported",
  "limit_exceeded",
  "unavailable",
  "cancelled",
  "internal",
  "already_exists",
  "invalid_state",
  "command_not_found",
  "command_not_executable",
] as const;
export type GuestErrorCode = (typeof guestErrors)[number];
