/** Installs the API peer as a program "firecracker" in the test's own directory. */
import { existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BootSpec } from "#vmm/driver.ts";
import type { Plan } from "./firecracker-api.ts";

const PEER = join(import.meta.dir, "firecracker-api.ts");

let counter = 0;

export interface JournalLine {
  request: string;
  body?: Record<string, unknown>;
  status: number;
}

export class FirecrackerPeer {
  readonly folder: string;
  readonly program: string;
  readonly #journal: string;

  constructor(folder: string, plan: Plan = {}) {
    this.folder = folder;
    this.#journal = join(folder, "journal");
    this.program = join(folder, "firecracker");
    this.#install(this.program, plan);
  }

  #install(path: string, plan: Plan): void {
    const env = [
      `FAKE_PLAN='${JSON.stringify(plan).replaceAll("'", "'\\''")}'`,
      `FAKE_JOURNAL='${this.#journal}'`,
    ];
    const script = `#!/bin/sh\nexec env ${env.join(" ")} '${process.execPath}' '${PEER}' "$@"\n`;
    writeFileSync(path, script, { mode: 0o755 });
  }

  journal(): JournalLine[] {
    if (!existsSync(this.#journal)) return [];
    const lines = readFileSync(this.#journal, "utf8").trim().split("\n");
    return lines.map((line) => JSON.parse(line));
  }

  /** A spec with a folder of its own, two drives, and a kernel that begins as an ELF file does. */
  spec(changes: Partial<BootSpec> = {}): BootSpec {
    const name = `m${counter++}`;
    const runtimeDir = join(this.folder, name);
    mkdirSync(runtimeDir, { mode: 0o700 });
    const kernelPath = this.file("vmlinux", "\x7fELF kernel");
    return {
      id: name,
      runtimeDir,
      consolePath: join(this.folder, `${name}.console`),
      logPath: join(this.folder, `${name}.log`),
      cpus: 2,
      memory_mib: 256,
      kernelPath,
      initrdPath: this.file("initrd", "070701"),
      kernelArgs: ["rdinit=/init"],
      drives: [
        { path: this.disk(`${name}-root.img`), readOnly: true },
        { path: this.disk(`${name}-data.img`), readOnly: false },
      ],
      network: undefined,
      ...changes,
    };
  }

  file(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text, "latin1");
    return path;
  }

  disk(name: string): string {
    const path = this.file(name, "");
    truncateSync(path, 1 << 20);
    return path;
  }
}
