/** The settings of a machine that the host passes to its agent: see guest/boot.ts. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Image } from "#api/image.ts";
import type { BootRecord } from "#guest/boot.ts";
import { moduleInitrdPath } from "#guest/initrd.ts";
import type { BootKernel } from "#kernels/service.ts";
import type { TapAttachment } from "#net/attachment.ts";
import type { Attachment } from "#net/network.ts";
import type { VmDeps } from "./deps.ts";
import { imageEnvironment } from "./exec.ts";
import type { VmRecord } from "./records.ts";
import { secretEnvironment } from "./secrets/secrets.ts";
import { sshAgentEnvironment } from "./ssh-agent/agents.ts";

const ENTROPY_SEED_BYTES = 64;
const DNS_SEARCH_DOMAIN = "vm";

/** Its boot record in the initrd. */
export function bootRecord(
  deps: VmDeps,
  vm: VmRecord,
  parts: {
    image: Image;
    kernel: BootKernel;
    attachment: Attachment;
    lowers: number;
    hasModulesDisk: boolean;
  },
): BootRecord {
  const { image, kernel, attachment, lowers, hasModulesDisk } = parts;
  const { trust, placeholders } = secretEnvironment(deps, vm);
  return {
    mode: vm.spec.mode,
    hostname: vm.spec.hostname ?? vm.name,
    rootfs: { kind: "overlay", lowers },
    ...(attachment.address
      ? {
          network: {
            mac: attachment.mac,
            address: attachment.address,
            gateway: attachment.gateway,
            ...("tap" in attachment ? ipv6Of(attachment) : {}),
            dns: attachment.dns,
            ...(attachment.mtu ? { mtu: attachment.mtu } : {}),
            isUserNetwork: attachment.mode === "user",
          },
        }
      : {}),
    searchDomain: DNS_SEARCH_DOMAIN,
    authorizedKeys: vm.spec.isBuild ? [] : [deps.sshKey.publicLine],
    sshHostKey: vm.spec.isBuild
      ? undefined
      : readFileSync(deps.config.paths.vm(vm.id).hostKey, "utf8"),
    machineId: vm.spec.machineId,
    ...(vm.spec.isBuild ? { isBuild: true } : {}),
    modules: kernel.modules.map(({ name }) => moduleInitrdPath(name)),
    hasModulesDisk,
    env: {
      ...imageEnvironment(image.config),
      ...trust,
      ...sshAgentEnvironment(vm.spec),
      ...vm.spec.env,
      ...placeholders,
    },
    time_unix_ns: timeNow_unix_ns(),
    entropySeed: randomBytes(ENTROPY_SEED_BYTES),
  };
}

export function timeNow_unix_ns(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

function ipv6Of({ address6, gateway6 }: Pick<TapAttachment, "address6" | "gateway6">) {
  return { address6, gateway6 };
}
