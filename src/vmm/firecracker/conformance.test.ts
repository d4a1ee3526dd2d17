/** The driver contract against the API peer: everything but the guest itself is as with Firecracker. */
import { FirecrackerPeer } from "#test/firecracker-peer.ts";
import { testConformance } from "#test/vmm-conformance.ts";
import { createFirecrackerDriver } from "./driver.ts";

testConformance("Firecracker (API peer, no machines)", async (folder) => {
  const peer = new FirecrackerPeer(folder);
  return {
    driver: createFirecrackerDriver({ program: peer.program, jailer: false }),
    kernelPath: peer.file("vmlinux", "\x7fELF kernel"),
    initrdPath: peer.file("initrd", "070701"),
  };
});
