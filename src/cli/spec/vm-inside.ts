/** The commands about what goes on inside machines. */
import { durationArg } from "#cli/args/numbers.ts";
import { any, command, one, some, toggle, value } from "./types.ts";

const vm = one("Name or id of the machine", { completes: "vm" });
const interval = value("--interval <duration>", "Between two looks (default: 2s)", durationArg);
const once = toggle("--no-stream", "Look once and end");

export const vmInsideCommands = {
  ports: command({
    brief: "List who listens in a machine",
    details: "Those that a machine publishes on this computer are shown by `banger vm port list`.",
    args: { vm },
    examples: ["banger vm ports testbox", "banger vm ports --json testbox"],
  }),
  forward: command({
    isEndless: true,
    brief: "Forward ports and sockets between this computer and a machine, until ^C",
    details: `LOCAL:REMOTE, each a port, ADDRESS:PORT in which an IPv6 address has brackets, or the path of a unix
socket. Connections to LOCAL on this computer (127.0.0.1 unless it says otherwise) come out at REMOTE in
the machine; with --reverse, those to REMOTE in the machine come out at LOCAL here. One number is both.
Works with any network or none, and goes on when the machine or the daemon is started anew.`,
    args: { vm, ports: some("What to forward, such as 8080:80") },
    flags: { reverse: toggle("-R, --reverse", "From the machine to this computer") },
    examples: [
      "banger vm forward testbox 8080:80",
      "banger vm forward testbox 127.0.0.1:5432:/run/postgresql/.s.PGSQL.5432",
      "banger vm forward testbox /tmp/docker.sock:/run/docker.sock",
      "banger vm forward -R testbox 3000:3000",
    ],
  }),
  stats: command({
    brief: "Show what machines use, inside and of the host",
    isEndless: true,
    args: { vms: any("Names or ids of machines; default: all that run", { completes: "vm" }) },
    flags: { interval, noStream: once },
    examples: ["banger vm stats", "banger vm stats --no-stream --json testbox"],
  }),
  top: command({
    brief: "Show the processes of a machine",
    isEndless: true,
    args: { vm },
    flags: { interval, noStream: once },
    examples: ["banger vm top testbox", "banger vm top --no-stream testbox"],
  }),
};
