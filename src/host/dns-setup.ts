/** `banger dns setup`: points the host's resolver at banger's DNS server. Works without the daemon. */
import { BangerError } from "#base/error.ts";
import { addressOf, parseCidr } from "#net/address.ts";
import { gatewayCidr, readBridgeMark } from "#net/bridge.ts";
import { applyNamesSetup, type NamesSetup, namesSetup } from "#net/dns/resolved.ts";
import { checkSubnet } from "#net/pool.ts";
import { callerUid, configOf } from "./account.ts";

const DNS_PORT = 53;

/** Gives what was done, or what a person has to do; the latter needs no rights. */
export async function runNamesSetup(): Promise<NamesSetup> {
  const { values } = await configOf(callerUid());
  const bridge = values["network.bridge"];
  const mark = readBridgeMark(bridge);
  const gateway = mark?.gateway ?? gatewayCidr(checkSubnet(parseCidr(values["network.subnet"])));
  const server = { address: addressOf(gateway), port: mark?.dnsPort ?? DNS_PORT };
  const setup = namesSetup({ bridge, server });
  if (setup.kind === "by hand") return setup;
  if (process.getuid?.() !== 0) {
    throw new BangerError(
      "permission_denied",
      "Cannot configure systemd-resolved: root is required",
      {
        hint: "sudo banger dns setup",
      },
    );
  }
  if (!mark) {
    throw new BangerError(
      "invalid_state",
      `Cannot configure systemd-resolved for "${bridge}": no such interface`,
      { hint: "Start a machine with --net nat first, or create it permanently: sudo banger setup" },
    );
  }
  await applyNamesSetup(setup.commands);
  return setup;
}
