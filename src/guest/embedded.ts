/** The files of the guest that come with the program, in a checkout and in the compiled binary alike. */
import { readFileSync } from "node:fs";
import { BangerError } from "#base/error.ts";
import sharePath from "../../build/bin/banger-share" with { type: "file" };
import agentPath from "../../build/bin/banger-vsock-agent" with { type: "file" };
import firstBootPath from "../../guest/boot/first-boot.sh" with { type: "file" };

/** The static agent binary, /init of every initrd. */
export function readAgentBinary(): Uint8Array {
  return readEmbedded(agentPath, "banger-vsock-agent");
}

/** The script that makes a systemd machine of an image. */
export function readFirstBoot(): Uint8Array {
  return readEmbedded(firstBootPath, "first-boot.sh");
}

/** The static program that mounts directories of the host. */
export function readShareBinary(): Uint8Array {
  return readEmbedded(sharePath, "banger-share");
}

function readEmbedded(path: string, name: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new BangerError("internal", `Cannot read the embedded "${name}"`, {
      hint: "In a checkout, run: make build",
      cause: error,
    });
  }
}
