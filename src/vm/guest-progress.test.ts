/** What people see of a machine's first boot. */
import { expect, test } from "bun:test";
import type { Progress } from "#base/progress.ts";
import type { AgentEvent } from "#guest/event.ts";
import { guestProgress } from "./guest-progress.ts";

/** Shares and messages while a package manager prints `lines`, then a phase. */
function shown(lines: string[], end: AgentEvent["phase"] = "starting"): string[] {
  const all: Progress[] = [];
  const report = guestProgress((progress) => all.push(progress));
  const event = (phase: AgentEvent["phase"], text: string, kind: AgentEvent["kind"] = "phase") =>
    report({ kind, phase, text, uptime_ms: 0 });
  event("installing", "Installing systemd");
  for (const line of lines) event("installing", line, "log");
  event(end, "systemd");
  const text = ({ message, done, total, unit }: Progress) =>
    done === undefined ? message : `${message} ${done}/${total} ${unit}`;
  return all.map(text);
}

test("an installation shows how many packages of all are done", () => {
  const lines = [
    "2 upgraded, 1 newly installed, 0 to remove and 5 not upgraded.",
    "Unpacking udev (252) ...",
    "Unpacking dbus (1.14) over (1.13) ...",
    "Setting up udev (252) ...",
    "Processing triggers for libc-bin ...",
    ...["Unpacking iproute2 ...", "Setting up dbus ...", "Setting up iproute2 ..."],
  ];
  const title = "Installing systemd";
  expect(shown(lines)).toEqual([
    title,
    `${title}: ${lines[0]} 0/3 items`,
    `${title}: ${lines[1]} 0/3 items`,
    `${title}: ${lines[2]} 1/3 items`,
    `${title}: ${lines[3]} 1/3 items`,
    `${title}: ${lines[4]} 1/3 items`,
    `${title}: ${lines[5]} 2/3 items`,
    `${title}: ${lines[6]} 2/3 items`,
    // The last is over when the guest says so.
    `${title}: ${lines[7]} 2/3 items`,
    `${title} 3/3 items`,
    "Starting systemd",
  ]);
});

test("packages that the host has unpacked are done once they are set up", () => {
  const lines = ["Setting up 2 packages", "Setting up udev (252) ...", "Setting up dbus ..."];
  expect(shown(lines).slice(1)).toEqual([
    `Installing systemd: ${lines[0]} 0/2 items`,
    `Installing systemd: ${lines[1]} 1/2 items`,
    `Installing systemd: ${lines[2]} 1/2 items`,
    "Installing systemd 2/2 items",
    "Starting systemd",
  ]);
});

const managers: [line: string, share: string][] = [
  ["(3/27) Installing openrc (0.54-r2)", "3/27"],
  ["( 3/27) installing systemd", "3/27"],
  ["(3/27) Installing: systemd-254 [done]", "3/27"],
  ["[ 3/27] Installing systemd-0:256 100% | 1.0 MiB/s", "3/27"],
  ["  Installing       : systemd-256-1.fc40.x86_64                3/27 ", "3/27"],
];
for (const [line, share] of managers) {
  test(`the share is read from "${line.trim()}"`, () => {
    const [, during] = shown([line]);
    expect(during).toEndWith(` ${share} items`);
  });
}

test("without a count there is no share, and a failure does not complete one", () => {
  expect(shown(["Setting up udev"])).toEqual([
    "Installing systemd",
    "Installing systemd: Setting up udev",
    "Installing systemd",
    "Starting systemd",
  ]);
  expect(shown(["(3/27) Installing openrc"], "failed").at(-1)).toBe("Installing systemd");
});
