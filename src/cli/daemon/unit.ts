/** Installs the daemon's systemd unit: a user unit, or for root a system unit. */
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { userInfo } from "node:os";
import { dirname, join } from "node:path";
import { BangerError } from "#base/error.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { run, runOk, which } from "#base/run.ts";
import { unitCommand, unitWord } from "#base/unit-word.ts";
import { folderVariables, RUNTIME_MEMORY } from "#config/environment.ts";
import type { Paths } from "#config/paths.ts";

const UNIT = "banger.service";
const SYSTEM_UNITS = "/etc/systemd/system";
const SYSTEMD_RUNS = "/run/systemd/system";
/** The daemon says when it is ready, which takes as long as the machines do that it takes over. */
const START_TIMEOUT_MS = 90_000;

export interface Unit {
  path: string;
  /** systemctl, with what says whose units are meant. */
  systemctl: readonly string[];
}

export function unitOf(paths: Paths): Unit {
  const isRoot = process.getuid?.() === 0;
  return {
    path: join(isRoot ? SYSTEM_UNITS : paths.userUnits, UNIT),
    systemctl: isRoot ? ["systemctl"] : ["systemctl", "--user"],
  };
}

/**
 * `program`: the words that start this one. Only the daemon itself is ended with its unit, since
 * machines run on. The folders are those of now, because systemd knows nothing of a shell's variables.
 */
export function unitText(program: readonly string[]): string {
  return `[Unit]
Description=banger, virtual machines from OCI images

[Service]
Type=notify
ExecStart=${unitCommand([...program, "daemon", "run"])}
${environmentLines({ ...folderVariables(), ...RUNTIME_MEMORY }).join("\n")}
Restart=on-failure
KillMode=process
Delegate=yes
TimeoutStartSec=${START_TIMEOUT_MS / 1000}

[Install]
WantedBy=${process.getuid?.() === 0 ? "multi-user.target" : "default.target"}
`;
}

function environmentLines(variables: Record<string, string>): string[] {
  return Object.entries(variables).map(
    ([name, value]) => `Environment=${unitWord(`${name}=${value}`)}`,
  );
}

/** Writes the unit and has systemd start it, now and at boot. Gives what did not work, in words. */
export async function enableUnit(paths: Paths, program: readonly string[]): Promise<string[]> {
  const { path, systemctl } = unitOf(paths);
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  writeFileAtomic(path, unitText(program), { mode: 0o644 });
  await runOk([...systemctl, "daemon-reload"]);
  await runOk([...systemctl, "enable", "--now", UNIT], { timeout_ms: START_TIMEOUT_MS });
  // Without it a user's units begin when the user logs in, and end with the last session.
  const { exitCode, stderr } = await run(["loginctl", "enable-linger", userInfo().username]);
  if (exitCode === 0) return [];
  return [
    `The daemon starts at login, not at boot: loginctl enable-linger failed: ${stderr.trim()}`,
  ];
}

/** False when there was none. */
export async function disableUnit(paths: Paths): Promise<boolean> {
  const { path, systemctl } = unitOf(paths);
  if (!existsSync(path)) return false;
  if (existsSync(SYSTEMD_RUNS)) await runOk([...systemctl, "disable", "--now", UNIT]);
  rmSync(path, { force: true });
  if (existsSync(SYSTEMD_RUNS)) await runOk([...systemctl, "daemon-reload"]);
  return true;
}

/** Lets systemd start the daemon where the unit is there for it; false when it is not, or that failed. */
export async function startUnit(paths: Paths, signal: AbortSignal): Promise<boolean> {
  const { path, systemctl } = unitOf(paths);
  if (!existsSync(path) || !existsSync(SYSTEMD_RUNS) || !which("systemctl")) return false;
  // The unit's daemon may be one for other folders.
  const text = readFileSync(path, "utf8");
  if (!environmentLines(folderVariables()).every((line) => text.includes(`${line}\n`)))
    return false;
  const started = await run([...systemctl, "start", UNIT], {
    timeout_ms: START_TIMEOUT_MS,
    signal,
  });
  return started.exitCode === 0;
}

/** `unsupported` where another program looks after services. */
export function assertSystemd(): void {
  if (existsSync(SYSTEMD_RUNS) && which("systemctl")) return;
  throw new BangerError("unsupported", "Cannot enable the daemon: systemd is not running", {
    hint: "Run `banger daemon run` from your service manager instead",
  });
}
