import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rotateLog } from "./log.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-log-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("rotateLog() keeps one old log, and what is written goes on in the new one", () => {
  const path = join(folder, "daemon.log");
  const fd = openSync(path, "a", 0o600);
  try {
    for (const line of ["first\n", "second\n", "third\n"]) {
      writeSync(fd, line.repeat(100));
      rotateLog(path, { fd, max_bytes: 500 });
      expect(statSync(path).size).toBe(0);
      expect(readFileSync(`${path}.1`, "utf8")).toBe(line.repeat(100));
    }
    writeSync(fd, "last\n");
    rotateLog(path, { fd, max_bytes: 500 });
    expect(readFileSync(path, "utf8")).toBe("last\n");
    expect(statSync(`${path}.1`).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder).sort()).toEqual(["daemon.log", "daemon.log.1"]);
  } finally {
    closeSync(fd);
  }
});

test("rotateLog() leaves alone what is not the log", () => {
  const path = join(folder, "daemon.log");
  const other = openSync(join(folder, "journal"), "a", 0o600);
  try {
    writeSync(other, "x".repeat(1000));
    rotateLog(path, { fd: other, max_bytes: 500 });
    expect(statSync(join(folder, "journal")).size).toBe(1000);
    expect(readdirSync(folder)).toEqual(["journal"]);
  } finally {
    closeSync(other);
  }
});
