/** The systemd unit that restores the network at boot. */
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { runOk, which } from "#base/run.ts";
import { unitCommand } from "#base/unit-word.ts";

const UNIT_NAME = "banger-network.service";
const UNIT_FOLDER = "etc/systemd/system";
const SYSTEMD_RUNS = "/run/systemd/system";

export function unitPath(root: string): string {
  return join(root, UNIT_FOLDER, UNIT_NAME);
}

/**
 * After the network is up, because the machines' MTU is that of the default route. Together with
 * nftables.service, because that one begins with removing everybody's rules. `program`: the words
 * that start this one.
 */
export function unitText(program: readonly string[]): string {
  return `[Unit]
Description=Network for banger machines
Wants=network-online.target
After=network-online.target nftables.service
PartOf=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=${unitCommand(program)} setup --restore

[Install]
WantedBy=multi-user.target
`;
}

/** The commands that follow when the file is there, or before it goes; none where systemd does not run. */
export function unitCommands(root: string, verb: "enable" | "disable"): string[][] {
  const isSystemd = root === "/" && existsSync(SYSTEMD_RUNS) && which("systemctl") !== undefined;
  if (!isSystemd) return [];
  const change = ["systemctl", verb, UNIT_NAME];
  return verb === "enable" ? [["systemctl", "daemon-reload"], change] : [change];
}

export async function installUnit(root: string, program: readonly string[]): Promise<void> {
  mkdirSync(dirname(unitPath(root)), { recursive: true, mode: 0o755 });
  writeFileAtomic(unitPath(root), unitText(program), { mode: 0o644 });
  for (const argv of unitCommands(root, "enable")) await runOk(argv);
}

export async function removeUnit(root: string): Promise<void> {
  if (!existsSync(unitPath(root))) return;
  for (const argv of unitCommands(root, "disable")) await runOk(argv);
  rmSync(unitPath(root), { force: true });
}
