/** Commands that inspect a running machine. */
import { durationArg } from "#cli/args/numbers.ts";
import { any, command, one, some, toggle, value } from "./types.ts";

const vm = one("Machine name or ID", { completes: "vm" });
const interval = value("--interval <duration>", "Refresh interval (default: 2s)", durationArg);
const once = toggle("--no-stream", "Print once and exit");

export const vmInsideCommands = {
  ports: command({
    brief: "List listening sockets in a machine",
    details: "For the ports that a machine publishes on the host, see `banger vm port list`.",
    args: { vm },
    examples: ["banger vm ports testbox", "banger vm ports --json testbox"],
  }),
  forward: command({
    isEndless: true,
    brief: "Forward ports and sockets between the host and a machine, until Ctrl-C",
    details: `Each forward is LOCAL:REMOTE; each side is a port, ADDRESS:PORT (IPv6 addresses in brackets), or the path of
a unix socket. A single number stands for both. Connections to LOCAL on the host (default address: 127.0.0.1)
are forwarded to REMOTE in the machine; with --reverse, connections to REMOTE in the machine are forwarded to
LOCAL on the host. Needs no network in the machine, and continues after the machine or the daemon restarts.`,
    args: { vm, ports: some("Ports or sockets to forward, such as 8080:80") },
    flags: { reverse: toggle("-R, --reverse", "Forward from the machine to the host") },
    examples: [
      "banger vm forward testbox 8080:80",
      "banger vm forward testbox 127.0.0.1:5432:/run/postgresql/.s.PGSQL.5432",
      "banger vm forward testbox /tmp/docker.sock:/run/docker.sock",
      "banger vm forward -R testbox 3000:3000",
    ],
  }),
  stats: command({
    brief: "Show resource usage of machines",
    isEndless: true,
    args: { vms: any("Machine names or IDs (default: all running)", { completes: "vm" }) },
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
