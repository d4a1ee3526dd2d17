/** Commands that change a running machine's network. */
import { textArg } from "#cli/args/numbers.ts";
import { any, command, group, one, optional, some, toggle, value } from "./types.ts";

const machine = one("Machine name or ID", { completes: "vm" });

export const portCommands = group("Manage published ports", {
  list: command({
    brief: "List published ports of a machine",
    aliases: ["ls"],
    args: {
      vm: machine,
      port: optional("Show only this guest port, such as 80 or 53/udp"),
    },
    examples: ["banger vm port list testbox", "banger vm port testbox 80/tcp"],
  }),
  add: command({
    brief: "Publish ports of a machine",
    details:
      "Takes effect immediately on a running machine. Ports have the format [ADDRESS:][HOST:]GUEST[/tcp|udp]; the default address is 127.0.0.1.",
    args: { vm: machine, ports: some("Ports to publish, such as 8080:80") },
    examples: [
      "banger vm port add testbox 8080:80",
      "banger vm port add testbox 0.0.0.0:5353:53/udp",
    ],
  }),
  rm: command({
    brief: "Unpublish ports and close their connections",
    aliases: ["remove", "delete"],
    args: { vm: machine, ports: some("Host ports to unpublish, such as 8080") },
    examples: ["banger vm port rm testbox 8080", "banger vm port rm testbox 0.0.0.0:5353/udp"],
  }),
});

const ruleDetails =
  "A rule is NAME, *.NAME, ADDRESS or CIDR, each with an optional :PORT: example.com:443, *.example.com, 192.0.2.0/24; or a profile: @npm. The first rule that matches decides.";

export const profileCommands = group("Manage policy profiles and answer for machines that ask", {
  list: command({
    brief: "List policy profiles and their rules",
    aliases: ["ls"],
    examples: ["banger policy list", "banger vm create alpine --nat --policy alpine,github"],
  }),
  watch: command({
    brief: "Answer for machines with --ask: allow or deny the destinations that they wait for",
    details: `A destination is held for a minute; no answer is a no. Answers: o allows it once, m for this machine, a for all
machines with --ask, n denies it once, d denies it for this machine. Without a terminal, or with --json, questions are only printed.`,
    examples: ["banger policy watch", "banger policy watch --json"],
  }),
  answers: command({
    brief: "List answers that are kept for all machines",
    examples: ["banger policy answers"],
  }),
  forget: command({
    brief: "Forget answers that are kept for all machines",
    args: { rules: some("Rules, as printed by `banger policy answers`") },
    examples: ["banger policy forget example.com:443"],
  }),
});

export const policyCommands = group("Manage the egress policy of a machine", {
  show: command({
    brief: "Show the egress policy of a machine",
    args: { vm: machine },
    examples: ["banger vm policy show testbox"],
  }),
  set: command({
    brief: "Replace the egress policy of a machine",
    details: ruleDetails,
    args: { vm: machine, rules: any("Destinations to allow, such as example.com:443") },
    flags: {
      denyAll: toggle("--deny-all", "Deny all outbound traffic"),
      allowAll: toggle("--allow-all", "Remove the policy: allow all outbound traffic"),
      ask: toggle("--ask", "Ask about destinations that no rule matches"),
    },
    examples: [
      "banger vm policy set testbox example.org '*.example.com:443'",
      "banger vm policy set testbox --deny-all",
      "banger vm policy set testbox --allow-all",
    ],
  }),
  allow: command({
    brief: "Add allow rules to the egress policy of a machine",
    details: ruleDetails,
    args: { vm: machine, rules: some("Destinations to allow, such as example.com:443") },
    examples: ["banger vm policy allow testbox api.example.com:443"],
  }),
  deny: command({
    brief: "Add deny rules, in front of all others, to the egress policy of a machine",
    details: ruleDetails,
    args: { vm: machine, rules: some("Destinations to deny, such as ads.example.com") },
    examples: ["banger vm policy deny testbox ads.example.com"],
  }),
  rm: command({
    brief: "Remove rules from the egress policy of a machine",
    aliases: ["remove", "delete"],
    args: { vm: machine, rules: some("Rules, as printed by `banger vm policy show`") },
    examples: ["banger vm policy rm testbox api.example.com:443"],
  }),
  log: command({
    brief: "Show allowed and denied connections of a running machine",
    args: { vm: machine },
    flags: { follow: toggle("-f, --follow", "Print decisions as they are made") },
    examples: ["banger vm policy log testbox", "banger vm policy log -f testbox"],
  }),
});

const network = one("Network name", { completes: "network" });

export const networkCommands = group("Manage named networks between machines", {
  create: command({
    brief: "Create a named network",
    args: { name: optional("Network name: lower-case letters, digits and dashes") },
    flags: { name: value("--name <name>", "Same as NAME", textArg) },
    examples: ["banger network create backend", "banger vm create --nat --network backend alpine"],
  }),
  list: command({
    brief: "List named networks and their machines",
    aliases: ["ls"],
    examples: ["banger network list"],
  }),
  show: command({
    brief: "Show details of a named network",
    aliases: ["inspect"],
    args: { network },
    examples: ["banger network show backend"],
  }),
  rm: command({
    brief: "Remove unused named networks",
    aliases: ["remove", "delete"],
    args: { networks: some("Network names", { completes: "network" }) },
    examples: ["banger network rm backend"],
  }),
  connect: command({
    brief: "Connect machines to a named network",
    args: { network, vms: some("Machine names or IDs", { completes: "vm" }) },
    examples: ["banger network connect backend web db"],
  }),
  disconnect: command({
    brief: "Disconnect machines from a named network",
    args: { network, vms: some("Machine names or IDs", { completes: "vm" }) },
    examples: ["banger network disconnect backend web"],
  }),
});
