/**
 * Destinations for published kernels: a directory of the host, or anything that rclone supports.
 *
 *     /srv/kernels              a directory, which must exist
 *     REMOTE:PATH               a remote of rclone's configuration, or a connection string (":webdav,url=…:")
 *     s3://BUCKET/PREFIX        an S3 bucket, with the credentials in the environment
 */
import { copyFileSync, existsSync, renameSync, rmSync, statSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { BangerError } from "#base/error.ts";
import { stagingPath } from "#base/files/atomic.ts";
import type { OnProgress } from "#base/progress.ts";
import { run, which } from "#base/run.ts";

const UPLOAD_TIMEOUT_MS = 6 * 60 * 60_000;
/** Shorter than rclone's defaults, which are meant for unattended copies of many files. */
const PATIENCE = ["--retries=2", "--low-level-retries=3", "--contimeout=15s", "--timeout=60s"];
const DELETE_TIMEOUT_MS = 5 * 60_000;

export interface TransferWork {
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

export interface Destination {
  put(file: string, name: string, work: TransferWork): Promise<void>;
  /** Does nothing if it does not exist. */
  remove(name: string, work: TransferWork): Promise<void>;
}

/** Checks only the syntax, the directory, and whether rclone is installed. */
export function openDestination(text: string): Destination {
  if (isAbsolute(text)) return folderDestination(text);
  const bucket = /^s3:\/\/([a-z0-9][a-z0-9.-]*)(\/[^\0]*)?$/.exec(text);
  if (bucket) return rcloneDestination(`:s3,env_auth=true:${bucket[1]}${bucket[2] ?? ""}`);
  if (/^:?[\w.+@ -]+[^/]*:/.test(text) && !text.includes("://")) return rcloneDestination(text);
  if (/^:[a-z0-9]+,/.test(text)) return rcloneDestination(text);
  throw new BangerError("invalid_argument", `invalid destination "${text.slice(0, 200)}"`, {
    hint: "Use a directory, REMOTE:PATH for rclone, or s3://BUCKET/PREFIX",
  });
}

function folderDestination(folder: string): Destination {
  if (!existsSync(folder) || !statSync(folder).isDirectory()) {
    throw new BangerError("not_found", `Cannot publish to "${folder}": no such directory`);
  }
  return {
    async put(file, name) {
      const path = join(folder, name);
      const staging = stagingPath(path);
      try {
        copyFileSync(file, staging);
        renameSync(staging, path);
      } finally {
        rmSync(staging, { force: true });
      }
    },
    async remove(name) {
      rmSync(join(folder, name), { force: true });
    },
  };
}

function rcloneDestination(remote: string): Destination {
  if (!which("rclone")) {
    throw new BangerError("unsupported", "Cannot publish to a remote: rclone is not installed", {
      hint: "sudo apt-get install rclone",
    });
  }
  const at = (name: string): string => (/[/:]$/.test(remote) ? remote : `${remote}/`) + name;
  return {
    async put(file, name, { signal, onProgress }) {
      const flags = [
        "--stats=500ms",
        "--use-json-log",
        "--stats-log-level=NOTICE",
        "--ignore-times",
      ];
      const result = await run(["rclone", "copyto", ...flags, file, at(name)], {
        signal,
        timeout_ms: UPLOAD_TIMEOUT_MS,
        onOutput: (chunk) => reportStats(chunk, name, onProgress),
      });
      if (result.exitCode !== 0) throw rcloneFailure(`upload "${name}"`, result.stderr);
    },
    async remove(name, { signal }) {
      const options = { signal, timeout_ms: DELETE_TIMEOUT_MS };
      const result = await run(["rclone", "deletefile", ...PATIENCE, at(name)], options);
      // 3 and 4: directory or file not found.
      if (![0, 3, 4].includes(result.exitCode)) {
        throw rcloneFailure(`remove "${name}"`, result.stderr);
      }
    },
  };
}

/** One line of rclone's log: {"level":"notice","stats":{"bytes":1,"totalBytes":2,…}}. */
function reportStats(chunk: Uint8Array, name: string, onProgress: OnProgress | undefined): void {
  const match = /"stats":\{"bytes":(\d+).*?"totalBytes":(\d+)/.exec(Buffer.from(chunk).toString());
  if (!match) return;
  const [done, total] = [Number(match[1]), Number(match[2])];
  onProgress?.({ step: "upload", message: `Uploading ${name}`, done, total, unit: "bytes" });
}

function rcloneFailure(action: string, stderr: string): BangerError {
  const messages = stderr.split("\n").flatMap((line) => {
    const text = /"level":"(?:error|fatal|critical)".*?"msg":"((?:[^"\\]|\\.)*)"/.exec(line)?.[1];
    return text ?? (/^\S+ \S+ (?:ERROR|Failed|CRITICAL)/.test(line) ? line : []);
  });
  const why = (messages.at(-1) ?? stderr.trim()).slice(-500);
  return new BangerError("unavailable", `Cannot ${action}: rclone failed: ${why}`, {
    hint: /credential/i.test(why)
      ? "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, then: banger daemon restart"
      : "Check the remote and its credentials with: rclone lsf REMOTE:",
  });
}
