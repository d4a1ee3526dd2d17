import { expect, test } from "bun:test";
import { parseAddress } from "#net/address.ts";
import { namesSetup } from "./resolved.ts";

const bridge = "banger0";
const address = parseAddress("10.241.0.1");

test("with systemd-resolved the bridge answers for its own domain and no other", () => {
  expect(namesSetup({ bridge, server: { address, port: 53 } }, true)).toEqual({
    kind: "resolved",
    commands: [
      ["resolvectl", "dns", "banger0", "10.241.0.1"],
      ["resolvectl", "domain", "banger0", "~vm"],
      ["resolvectl", "default-route", "banger0", "no"],
    ],
  });
  const setup = namesSetup({ bridge, server: { address, port: 15_353 } }, true);
  expect(setup.kind === "resolved" && setup.commands[0]).toContain("10.241.0.1:15353");
});

test("without it a person is told what to write where", () => {
  const setup = namesSetup({ bridge, server: { address, port: 15_353 } }, false);
  expect(setup.kind === "by hand" && setup.advice).toContain("server=/vm/10.241.0.1#15353");
});
