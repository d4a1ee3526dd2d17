/** What of a machine's network can be changed while it runs. */
import { textArg } from "#cli/args/numbers.ts";
import { any, command, group, one, optional, some, toggle, value } from "./types.ts";

const machine = one("Name or id of the machine", { completes: "vm" });

export const portCommands = group("Published ports of a machine", {
  list: command({
    brief: "List the ports that a machine publishes",
    aliases: ["ls"],
    args: {
      vm: machine,
      port: optional("Only what leads to this port of the machine, such as 80 or 53/udp"),
    },
    examples: ["banger vm port list testbox", "banger vm port testbox 80/tcp"],
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

const ruleDetails =
  "A rule is a name, *.NAME, an address or a block, each with an optional :PORT: example.com:443, *.example.com, 192.0.2.0/24.";

export const policyCommands = group("What a machine may reach", {
  show: command({
    brief: "Show what a machine may reach",
    args: { vm: machine },
    examples: ["banger vm policy show testbox"],
  }),
  set: command({
    brief: "Let a machine reach what the rules say, and nothing else",
    details: ruleDetails,
    args: { vm: machine, rules: any("Rules, such as example.com:443") },
    flags: {
      denyAll: toggle("--deny-all", "No rules: it reaches nothing"),
      allowAll: toggle("--allow-all", "No policy: it reaches everything"),
    },
    examples: [
      "banger vm policy set testbox example.org '*.example.com:443'",
      "banger vm policy set testbox --deny-all",
      "banger vm policy set testbox --allow-all",
    ],
  }),
  allow: command({
    brief: "Add rules to the policy of a machine",
    details: ruleDetails,
    args: { vm: machine, rules: some("Rules, such as example.com:443") },
    examples: ["banger vm policy allow testbox api.example.com:443"],
  }),
  deny: command({
    brief: "Take rules out of the policy of a machine",
    args: { vm: machine, rules: some("Rules as `vm policy show` prints them") },
    examples: ["banger vm policy deny testbox api.example.com:443"],
  }),
  log: command({
    brief: "Show what the policy of a running machine has let through and what not",
    args: { vm: machine },
    examples: ["banger vm policy log testbox", "banger vm policy log --json testbox"],
  }),
});

const network = one("Name of the network", { completes: "network" });

export const networkCommands = group("Named networks, whose machines reach each other", {
  create: command({
    brief: "Make a named network",
    args: { name: optional("Name of the network: lower-case letters, digits and dashes") },
    flags: { name: value("--name <name>", "Same as NAME", textArg) },
    examples: ["banger network create backend", "banger vm create --nat --network backend alpine"],
  }),
  list: command({
    brief: "List named networks and the machines on them",
    aliases: ["ls"],
    examples: ["banger network list"],
  }),
  show: command({
    brief: "Show one named network",
    aliases: ["inspect"],
    args: { network },
    examples: ["banger network show backend"],
  }),
  rm: command({
    brief: "Remove named networks that no machine is on",
    aliases: ["remove", "delete"],
    args: { networks: some("Names of networks", { completes: "network" }) },
    examples: ["banger network rm backend"],
  }),
  connect: command({
    brief: "Put machines on a named network, those that run at once",
    args: { network, vms: some("Names or ids of machines", { completes: "vm" }) },
    examples: ["banger network connect backend web db"],
  }),
  disconnect: command({
    brief: "Take machines off a named network, those that run at once",
    args: { network, vms: some("Names or ids of machines", { completes: "vm" }) },
    examples: ["banger network disconnect backend web"],
  }),
});
