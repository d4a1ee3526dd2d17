/**
 * Compares `ssh VM.vm true`, and `vm cp` of a tree of 200 MB in both directions, to ssh and scp with an sshd in the
 * machine. Needs root, for the machine's address.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Vm } from "#api/vm.ts";
import { KiB, MiB } from "#base/size.ts";
import { install } from "#test/installation.ts";
import { printRatio, program, race } from "./measure.ts";

const VM = "bench";
/** How the ssh configuration calls the sshd inside. */
const OWN = "own";
const LOGINS = 15;
const COPIES = 1;
/** As source trees have them, and a few as build results are. */
const SMALL = { count: 1600, bytes: 64 * KiB };
const LARGE = { count: 4, bytes: 25 * MiB };

if (process.getuid?.() !== 0) {
  console.log("Skipped: it gives a machine an address, which takes root");
  process.exit(0);
}
await using banger = install();
const host = (name: string) => join(banger.home, name);
await banger.ok("kernel", "pull", "debian-6.12");
const packages = ["systemd-sysv", "dbus", "openssh-server", "iproute2"];
await banger.ok(
  ...["image", "bootstrap", "bookworm", "--name", "whole"],
  ...packages.flatMap((name) => ["--include", name]),
);
await banger.ok("vm", "create", "--image", "whole", "--name", VM, "--nat", "--disk", "3G");
const config = await sshConfig();
const environment = Object.entries(banger.env).map(([name, value]) => `${name}=${value}`);
const ssh = (to: string, ...command: string[]) => client("ssh", to, ...command);
const scp = (from: string, to: string) => client("scp", "-q", "-r", from, to);

const [ours = 0, theirs = 1] = await race(
  [
    { name: "ssh VM.vm true, no server inside", run: () => ssh(`${VM}.vm`, "true") },
    { name: "the same to the machine's sshd", run: () => ssh(OWN, "true") },
  ],
  LOGINS,
);
printRatio("ssh VM.vm / ssh to the machine's sshd", ours / theirs, "at most 1");

makeTree(host("tree"));
const clear = () => ssh(`${VM}.vm`, "rm -rf /srv/in; sync");
const clearHere = async () => rmSync(host("out"), { recursive: true, force: true });
const [copyIn = 0, scpIn = 1, copyOut = 0, scpOut = 1] = await race(
  [
    {
      name: "vm cp into the machine",
      prepare: clear,
      run: () => banger.ok("vm", "cp", "tree", `${VM}:/srv/in`),
    },
    {
      name: "scp -r to the machine's sshd",
      prepare: clear,
      run: () => scp(host("tree"), `${OWN}:/srv/in`),
    },
    {
      name: "vm cp out of the machine",
      prepare: clearHere,
      run: () => banger.ok("vm", "cp", `${VM}:/srv/in`, "out"),
    },
    {
      name: "scp -r from the machine's sshd",
      prepare: clearHere,
      run: () => scp(`${OWN}:/srv/in`, host("out")),
    },
  ],
  COPIES,
);
printRatio("vm cp in / scp", copyIn / scpIn, "at most 1");
printRatio("vm cp out / scp", copyOut / scpOut, "at most 1");

/** ssh or scp with this installation's banger behind it. */
async function client(name: string, ...words: string[]): Promise<void> {
  await program("env", "-i", ...environment, name, "-F", config, ...words);
}

/** Both servers by name: the one that banger is, and the machine's. */
async function sshConfig(): Promise<string> {
  const { network } = await banger.json<Vm>("vm", "show", VM);
  const own = [
    `Host ${OWN}`,
    `    HostName ${network.address}`,
    "    User root",
    `    IdentityFile ${host("config/banger/ssh/id_ed25519")}`,
    "    IdentitiesOnly yes",
    "    StrictHostKeyChecking accept-new",
    `    UserKnownHostsFile ${host("known")}`,
    "    LogLevel ERROR",
  ];
  writeFileSync(host("ssh.cfg"), `${await banger.ok("ssh-config")}\n${own.join("\n")}\n`);
  return host("ssh.cfg");
}

/** Of bytes that no one can make smaller. */
function makeTree(root: string): void {
  for (const [name, { count, bytes }] of Object.entries({ small: SMALL, large: LARGE })) {
    for (let index = 0; index < count; index++) {
      const folder = join(root, name, String(index % 40));
      mkdirSync(folder, { recursive: true });
      const data = new Uint8Array(bytes);
      for (let at = 0; at < bytes; at += 64 * KiB) {
        crypto.getRandomValues(data.subarray(at, at + 64 * KiB));
      }
      writeFileSync(join(folder, String(index)), data);
    }
  }
}
