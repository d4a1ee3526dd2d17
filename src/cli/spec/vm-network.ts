/** What of a machine's network can be changed while it runs. */
import { command, group, one, some } from "./types.ts";

const machine = one("Name or id of the machine", { completes: "vm" });

export const portCommands = group("Published ports of a machine", {
  list: command({
    brief: "List the ports that a machine publishes",
    aliases: ["ls"],
    args: { vm: machine },
    examples: ["banger vm port list testbox", "banger vm port list --json testbox"],
  }),
  add: command({
    brief: "Publish ports, of a running machine at once",
    details:
      "A port is written as for --publish: [ADDRESS:][HOST:]GUEST[/tcp|udp]. Without an address it is open on 127.0.0.1 only.",
    args: { vm: machine, ports: some("Ports, such as 8080:80") },
    examples: [
      "banger vm port add testbox 8080:80",
      "banger vm port add testbox 0.0.0.0:5353:53/udp",
    ],
  }),
  rm: command({
    brief: "Publish ports no longer, and cut their connections",
    aliases: ["remove"],
    args: { vm: machine, ports: some("Ports of this computer, such as 8080") },
    examples: ["banger vm port rm testbox 8080", "banger vm port rm testbox 0.0.0.0:5353/udp"],
  }),
});
