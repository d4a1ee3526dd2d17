/** The debug bundle: what a bug report needs, without secrets. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { DebugBundle } from "#api/system.ts";
import { messageOf } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { version } from "#base/version.ts";
import { runDoctor } from "#host/doctor.ts";
import { TAR_END, tarHeader, tarPadding } from "#tar/write.ts";
import type { Services } from "./compose.ts";
import { redact } from "./redact.ts";

const LOG_MAX_BYTES = MiB;
const CONSOLES_MAX = 50;
const CONSOLE_MAX_BYTES = MiB / 16;

interface DebugFile {
  path: string;
  text: string;
}

export async function debugBundle(services: Services): Promise<DebugBundle> {
  const files = await debugFiles(services);
  const mtime_s = Math.floor(Date.now() / 1000);
  const parts = files.flatMap(({ path, text }) => {
    const data = Buffer.from(text);
    const name = Buffer.from(`banger-debug/${path}`);
    const header = tarHeader({
      type: "file",
      name,
      mode: 0o600,
      uid: 0,
      gid: 0,
      size: data.length,
      mtime_s,
      mtime_ns: 0,
    });
    return [header, data, tarPadding(data.length)];
  });
  const tar = Buffer.concat([...parts, TAR_END]).toString("base64");
  return { tar, files: files.map(({ path }) => path) };
}

/** Records as clients see them hold no environment; the store's own rows do, and stay out. */
async function debugFiles({ config, vms, images, kernels }: Services): Promise<DebugFile[]> {
  const { paths } = config;
  const machines = vms.list();
  const parts: [string, () => unknown][] = [
    ["version.json", () => ({ ...version, bun: Bun.version })],
    ["doctor.json", () => runDoctor()],
    ["vms.json", () => machines],
    ["images.json", () => images.list().map(({ config: _, ...image }) => image)],
    ["kernels.json", () => kernels.list()],
    ["repair.json", () => vms.repair({ isDryRun: true })],
  ];
  const documents = parts.map(async ([path, part]): Promise<DebugFile> => {
    try {
      return { path, text: `${JSON.stringify(await part(), undefined, 2)}\n` };
    } catch (error) {
      return { path, text: `${messageOf(error)}\n` };
    }
  });
  const logs = machines.slice(0, CONSOLES_MAX).flatMap(({ id, name }) => {
    const { console, vmmLog } = paths.vm(id);
    return [tailOf(`vms/${name}/console.log`, console), tailOf(`vms/${name}/vmm.log`, vmmLog)];
  });
  const daemon = tailOf("daemon.log", paths.daemonLog, LOG_MAX_BYTES);
  return [...(await Promise.all(documents)), daemon, ...logs].map(({ path, text }) => ({
    path,
    text: redact(text),
  }));
}

function tailOf(path: string, file: string, max_bytes = CONSOLE_MAX_BYTES): DebugFile {
  try {
    const fd = openSync(file, "r");
    try {
      const size = fstatSync(fd).size;
      const bytes = Buffer.alloc(Math.min(size, max_bytes));
      const length = readSync(fd, bytes, 0, bytes.length, size - bytes.length);
      return { path, text: bytes.toString("utf8", 0, length) };
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    return { path, text: `${messageOf(error)}\n` };
  }
}
