/** Checks that a kernel is one that Firecracker boots: on x86 an uncompressed ELF. */
import { closeSync, openSync, readSync } from "node:fs";
import { BangerError, errnoOf } from "#base/error.ts";

const HEADER_BYTES = 1024;
/** Where the boot protocol of x86 has its mark. */
const BZIMAGE_MARK_AT = 0x202;
/** Where the header of an arm64 "Image" has its mark. */
const ARM_MARK_AT = 56;

/** `unsupported` for a kernel that Firecracker cannot boot, with what to do about it. */
export function checkKernel(path: string, arch: string = process.arch): void {
  const header = readHeader(path);
  const mark = (at: number): string => header.toString("latin1", at, at + 4);
  const isGood = arch === "arm64" ? mark(ARM_MARK_AT) === "ARMd" : mark(0) === "\x7fELF";
  if (isGood) return;
  const refuse = (why: string, hint: string): never => {
    throw new BangerError("unsupported", `Cannot boot "${path}" with Firecracker: ${why}`, {
      hint,
    });
  };
  if (mark(BZIMAGE_MARK_AT) === "HdrS") {
    refuse(
      "compressed kernel (bzImage), Firecracker supports only uncompressed kernels",
      "Use --vmm qemu, or import an uncompressed kernel: banger kernel import --help",
    );
  }
  const wanted = arch === "arm64" ? 'an arm64 "Image"' : "an ELF file (vmlinux)";
  refuse(`it is not ${wanted}`, "Use a different kernel: banger kernel list");
}

function readHeader(path: string): Buffer {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (cause) {
    const isMissing = errnoOf(cause) === "ENOENT";
    const why = isMissing ? "no such file" : (errnoOf(cause) ?? "cannot be opened");
    const code = isMissing ? "not_found" : "permission_denied";
    throw new BangerError(code, `Cannot use "${path}": ${why}`, { cause });
  }
  try {
    const buffer = Buffer.alloc(HEADER_BYTES);
    readSync(fd, buffer, 0, buffer.length, 0);
    return buffer;
  } finally {
    closeSync(fd);
  }
}
