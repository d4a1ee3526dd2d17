/** Fails if KVM cannot run machines, with the reason. */
import { kvmState } from "#vmm/host.ts";

const { usable, reason } = kvmState();
console.log(usable ? "KVM runs machines here" : `KVM runs no machines here: ${reason}`);
process.exit(usable ? 0 : 1);
