import { expect, test } from "bun:test";
import { parseAddress } from "#net/address.ts";
import type { BangerTap } from "#net/devices.ts";
import { renderTables } from "./rules.ts";

function tap(name: string, last: number, more: Partial<BangerTap> = {}): BangerTap {
  return {
    tap: `bgr-${name}`,
    mode: "nat",
    address: parseAddress(`10.241.0.${last}`),
    mac: `02:00:00:00:00:0${last}`,
    networks: [],
    ...more,
  };
}

test("renderTables() lets out the machines in nat mode, and each with its own addresses only", () => {
  const taps = [tap("a", 2), tap("b", 3, { mode: "host" })];
  expect(renderTables({ table: "banger", bridge: "banger0", taps })).toBe(
    `table inet banger {
	comment "made by banger"
	set nat_machines {
		type ipv4_addr
		elements = { 10.241.0.2 }
	}

	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname "banger0" oifname "banger0" drop
		iifname "banger0" ip saddr @nat_machines accept
		iifname "banger0" drop
		oifname "banger0" ct state established,related accept
		oifname "banger0" drop
	}

	chain metadata {
		meta l4proto { tcp, udp } th dport 53 return
		meta l4proto tcp reject with tcp reset
		reject with icmpx admin-prohibited
	}

	chain closed {
		type filter hook prerouting priority mangle; policy accept;
		iifname "banger0" ip daddr { 169.254.0.0/16, 168.63.129.16/32, 100.100.100.200/32, 192.0.0.192/32 } jump metadata
		iifname != "banger0" tcp flags & (fin | syn | rst | ack) == 0x0 drop
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr @nat_machines oifname != "banger0" masquerade
	}
}
table bridge banger {
	comment "made by banger"
	set taps {
		type ifname
		elements = { "bgr-a", "bgr-b" }
	}

	set senders {
		typeof iifname . ether saddr . ip saddr
		elements = { "bgr-a" . 02:00:00:00:00:02 . 10.241.0.2, "bgr-b" . 02:00:00:00:00:03 . 10.241.0.3 }
	}

	set arp_senders {
		typeof iifname . ether saddr . arp saddr ether . arp saddr ip
		elements = { "bgr-a" . 02:00:00:00:00:02 . 02:00:00:00:00:02 . 10.241.0.2, "bgr-a" . 02:00:00:00:00:02 . 02:00:00:00:00:02 . 0.0.0.0, "bgr-b" . 02:00:00:00:00:03 . 02:00:00:00:00:03 . 10.241.0.3, "bgr-b" . 02:00:00:00:00:03 . 02:00:00:00:00:03 . 0.0.0.0 }
	}

	chain prerouting {
		type filter hook prerouting priority dstnat; policy accept;
		iifname != @taps accept
		ether type != { ip, arp } drop
		iifname . ether saddr . ip saddr @senders accept
		iifname . ether saddr . arp saddr ether . arp saddr ip @arp_senders accept
		drop
	}

	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname @taps oifname @taps drop
	}
}
`,
  );
});

test("renderTables() gives an empty set no elements, which nft would not take", () => {
  const text = renderTables({ table: "banger_lab", bridge: "lab", taps: [] });
  expect(text).toContain("table inet banger_lab {");
  expect(text).not.toContain("elements");
  expect(text).not.toContain("banger0");
});

test("renderTables() joins the members of a named network, and asks for nothing of the others", () => {
  const taps = [
    tap("a", 2, { networks: ["blue"] }),
    tap("b", 3, { networks: ["blue", "red-1"] }),
    tap("c", 4),
  ];
  const text = renderTables({ table: "banger", bridge: "banger0", taps });
  expect(text).toContain(
    'set net_blue {\n\t\ttype ifname\n\t\telements = { "bgr-a", "bgr-b" }\n\t}',
  );
  expect(text).toContain('set net_red-1 {\n\t\ttype ifname\n\t\telements = { "bgr-b" }\n\t}');
  expect(text).toContain("iifname @net_blue oifname @net_blue accept");
  expect(text.indexOf("ip saddr @net_blue ip daddr @net_blue accept")).toBeLessThan(
    text.indexOf('iifname "banger0" oifname "banger0" drop'),
  );
});

test("renderTables() leads questions elsewhere where the bridge says so", () => {
  const dnsRedirect = { gateway: parseAddress("10.241.0.1"), port: 15353, user_uid: 1000 };
  const text = renderTables({ table: "banger", bridge: "banger0", taps: [], dnsRedirect });
  for (const l4 of ["udp", "tcp"]) {
    expect(text).toContain(
      `iifname "banger0" ip daddr 10.241.0.1 ${l4} dport 53 redirect to :15353`,
    );
  }
  expect(text).toContain(
    "ip saddr 10.241.0.1 meta l4proto { tcp, udp } th sport 15353 meta skuid != { 0, 1000 } drop",
  );
  expect(text).toContain("th dport 15353 ip daddr != @dns_present reject");
});
