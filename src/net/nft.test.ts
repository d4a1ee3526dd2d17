import { expect, test } from "bun:test";
import { parseAddress } from "./address.ts";
import type { MachineTap } from "./devices.ts";
import { renderTable } from "./nft.ts";

function machine(mode: MachineTap["mode"], address: string): MachineTap {
  return { tap: "bgr-aaaaaaaa", machineId: "aaaaaaaa1234", mode, address: parseAddress(address) };
}

test("renderTable() lets out the machines in nat mode and no others", () => {
  const machines = [
    machine("nat", "10.241.0.2"),
    machine("host", "10.241.0.3"),
    machine("nat", "10.241.0.4"),
  ];
  expect(renderTable({ table: "banger", bridge: "banger0", machines })).toBe(
    `table inet banger {
	comment "made by banger"
	set nat_machines {
		type ipv4_addr
		elements = { 10.241.0.2, 10.241.0.4 }
	}

	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname "banger0" oifname "banger0" drop
		iifname "banger0" ip saddr @nat_machines accept
		iifname "banger0" drop
		oifname "banger0" ct state established,related accept
		oifname "banger0" drop
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr @nat_machines oifname != "banger0" masquerade
	}
}
`,
  );
});

test("renderTable() gives an empty set no elements, which nft would not take", () => {
  const text = renderTable({ table: "banger_lab", bridge: "lab", machines: [] });
  expect(text).toContain("table inet banger_lab {");
  expect(text).not.toContain("elements");
  expect(text).not.toContain("banger0");
});
