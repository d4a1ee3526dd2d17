/** A guest with one static program, small enough to boot many times, and its kernel. */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { runOk } from "#base/run.ts";
import { type BootKernel, KernelService } from "#kernels/service.ts";
import { KERNEL, linkKernels } from "./pulled-kernel.ts";

/** Folder that is kept between runs and spares them the download, where the environment gives one. */
export function testCache(): string | undefined {
  const folder = process.env["BANGER_TEST_CACHE"];
  if (folder) mkdirSync(folder, { recursive: true });
  return folder;
}

/** With the modules for a virtio-serial port to the host, or those for vsock. */
export async function pullTestKernel(dir: string, { vsock = false } = {}): Promise<BootKernel> {
  await linkKernels(dir);
  return await new KernelService({ dir, downloads: dir }).boot(KERNEL, { vsock });
}

/** Compiles the guest's program and packs it with the kernel's modules; the path of the initrd. */
export async function buildTinyInitrd(
  folder: string,
  kernel: Pick<BootKernel, "modules">,
): Promise<string> {
  const program = join(folder, "guest-init");
  const source = join(import.meta.dir, "guest-init.c");
  await runOk(["gcc", "-O1", "-static", "-s", "-o", program, source]);
  const names = kernel.modules.map(({ name }) => `${name}.ko`);
  const parts = [
    cpioEntry("init", 0o100755, readFileSync(program)),
    cpioEntry("modules", 0o40755, new Uint8Array()),
    cpioEntry("modules/order", 0o100644, Buffer.from(`${names.join("\n")}\n`)),
    ...kernel.modules.map(({ name, path }) =>
      cpioEntry(`modules/${name}.ko`, 0o100644, readFileSync(path)),
    ),
    cpioEntry("TRAILER!!!", 0, new Uint8Array()),
  ];
  const path = join(folder, "initrd");
  await Bun.write(path, Buffer.concat(parts));
  return path;
}

/** One file in the "newc" form of cpio: thirteen numbers of eight hex digits, name, content. */
function cpioEntry(name: string, mode: number, data: Uint8Array): Uint8Array {
  const numbers = [1, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length + 1, 0];
  const hex = numbers.map((number) => number.toString(16).padStart(8, "0")).join("");
  const head = padded(Buffer.from(`070701${hex}${name}\0`));
  return Buffer.concat([head, padded(data)]);
}

function padded(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}

/** The lines that the guest's program sends. */
export class GuestLines {
  readonly #pipe: Duplex;
  #text = "";
  #wake = Promise.withResolvers<void>();
  #ended = false;

  constructor(pipe: Duplex) {
    this.#pipe = pipe;
    pipe.on("error", () => {});
    pipe.on("data", (chunk) => {
      this.#text += String(chunk);
      this.#wake.resolve();
    });
    pipe.on("close", () => {
      this.#ended = true;
      this.#wake.resolve();
    });
  }

  send(line: string): void {
    this.#pipe.write(`${line}\n`);
  }

  async ask(line: string): Promise<string> {
    this.send(line);
    return await this.next();
  }

  async next(): Promise<string> {
    while (!this.#text.includes("\n")) {
      if (this.#ended) throw new Error("the guest's stream has ended");
      await this.#wake.promise;
      this.#wake = Promise.withResolvers();
    }
    const [line = "", ...rest] = this.#text.split("\n");
    this.#text = rest.join("\n");
    return line;
  }
}

export function isGone(pid: number): boolean {
  if (!existsSync(`/proc/${pid}`)) return true;
  return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}
