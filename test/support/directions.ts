/** The allowed imports between folders, for test/tidy.test.ts and for the test of docs/architecture.md. */

const CLIENT = ["api", "sdk", "base", "config"];
const STATE = ["base", "config", "store"];
/** What works without a daemon stands on these, and so does the daemon. */
const DOMAINS =
  "http tar blobs oci ext4 guest share vmm net kernels images snapshots vm builds".split(" ");

/** Which folder may import which, as docs/architecture.md has it. Every folder may import itself. */
export const MAY_IMPORT: Record<string, readonly string[]> = {
  base: [],
  http: ["base"],
  tar: ["base"],
  blobs: ["base", "http"],
  oci: ["base", "http", "tar", "blobs"],
  api: ["base"],
  config: ["base"],
  store: ["base", "config"],
  ext4: ["base"],
  guest: ["base"],
  vmm: ["base"],
  net: [...STATE, "api"],
  kernels: [...STATE, "http", "tar", "blobs", "ext4", "api"],
  images: [...STATE, "http", "tar", "blobs", "oci", "ext4", "api"],
  snapshots: ["base", "tar", "api"],
  vm: [
    ...STATE,
    "tar",
    "ext4",
    "guest",
    "share",
    "vmm",
    "net",
    "kernels",
    "images",
    "snapshots",
    "api",
  ],
  builds: [...STATE, "http", "tar", "blobs", "oci", "ext4", "guest", "images", "vm", "api"],
  egress: [...STATE, "net", "api"],
  share: ["base"],
  workspace: ["base", "config", "tar"],
  tooling: ["base"],
  host: [...STATE, ...DOMAINS, "api"],
  daemon: [...STATE, ...DOMAINS, "egress", "host", "api", "sdk", "e2b", "mcp"],
  sdk: ["api", "base"],
  // The user's git runs in the user's process.
  cli: [...CLIENT, "host", "workspace", "tooling", "mcp"],
  e2b: ["api", "base", "sdk"],
  mcp: CLIENT,
  web: ["api", "sdk"],
  // The one file that knows every program which the binary can be.
  "main.ts": ["cli", "daemon", "share"],
};
