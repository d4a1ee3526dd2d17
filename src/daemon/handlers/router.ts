/** The contract, implemented: each procedure is one call into a domain. */
import type { Services } from "#daemon/compose.ts";
import { handlerBase } from "./base.ts";
import { fileHandlers } from "./file.ts";
import { imageHandlers } from "./image.ts";
import { insideHandlers } from "./inside.ts";
import { kernelHandlers } from "./kernel.ts";
import { secretHandlers } from "./secret.ts";
import { serveHandlers, tokenHandlers } from "./serve.ts";
import { sessionHandlers } from "./session.ts";
import { snapshotHandlers, vmSnapshotHandlers } from "./snapshot.ts";
import { systemHandlers } from "./system.ts";
import { hostHandlers, uiHandlers } from "./ui.ts";
import { vmHandlers } from "./vm.ts";
import { networkHandlers, policyHandlers, vmNetworkHandlers } from "./vm-network.ts";
import { vmVolumeHandlers, volumeHandlers } from "./volume.ts";
import { workspaceHandlers } from "./workspace.ts";

export function makeRouter(services: Services) {
  const base = handlerBase(services);
  return base.os.router({
    system: { ...systemHandlers(base), ...hostHandlers(base) },
    kernel: kernelHandlers(base),
    image: imageHandlers(base),
    network: networkHandlers(base),
    policy: policyHandlers(base),
    volume: volumeHandlers(base),
    vm: {
      ...vmHandlers(base),
      ...vmNetworkHandlers(base),
      ...vmSnapshotHandlers(base),
      ...vmVolumeHandlers(base),
    },
    snapshot: snapshotHandlers(base),
    file: fileHandlers(base),
    session: sessionHandlers(base),
    inside: insideHandlers(base),
    workspace: workspaceHandlers(base),
    secret: secretHandlers(base),
    token: tokenHandlers(base),
    serve: serveHandlers(base),
    ui: uiHandlers(base),
  });
}
