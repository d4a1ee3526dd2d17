/** Prints machines and the other objects of the API. */
import type { Image } from "#api/image.ts";
import type { Kernel } from "#api/kernel.ts";
import type { Vm, VmExit } from "#api/vm.ts";
import { formatDuration } from "#base/duration.ts";
import { formatSize, MiB } from "#base/size.ts";
import { ago } from "./ago.ts";
import { checksText } from "./health.ts";
import { policyText, portText } from "./network.ts";
import { pairs, table } from "./table.ts";
import { guestText, mountsText } from "./volumes.ts";

/** `columns`: of the terminal that it is for. */
export function vmTable(vms: readonly Vm[], columns?: number): string {
  return table(
    ["NAME", "STATE", "IMAGE", "CPUS", "MEMORY", "NET", "ADDRESS", "PORTS", "CREATED"],
    vms.map((vm) => [
      vm.name,
      stateText(vm),
      vm.image,
      String(vm.cpus),
      formatSize(vm.memory_mib * MiB),
      vm.network.mode,
      vm.network.address ?? "-",
      vm.network.ports?.map(portText).join(" ") ?? "-",
      ago(vm.createdAt),
    ]),
    columns,
  );
}

/** "running 5m12s", "stopped, exit 3", "stopped, panic". */
function stateText({ state, startedAt, exit }: Vm): string {
  if (state === "running" && startedAt) {
    return `running ${ago(startedAt).replace(/ ago$/, "").replace("now", "0s")}`;
  }
  if (state !== "stopped" || !exit) return state;
  if (exit.status !== undefined) return `stopped, exit ${exit.status}`;
  return exit.reason === "poweroff" ? state : `stopped, ${exit.reason}`;
}

export function vmText(vm: Vm): string {
  return pairs([
    ["Name", vm.name],
    ["Id", vm.id],
    ["State", vm.state],
    ["Image", vm.image],
    ["Kernel", vm.kernel],
    ["Mode", vm.mode],
    ["Command", words(vm.command)],
    ["CPUs", String(vm.cpus)],
    ["Memory", formatSize(vm.memory_mib * MiB)],
    ["Disk", formatSize(vm.disk_bytes)],
    ["Disk limits", diskLimitsText(vm.limits)],
    ["Network", vm.network.mode],
    ["Network limits", netLimitsText(vm.limits)],
    ["Address", vm.network.address],
    ["IPv6 address", vm.network.address6],
    ["MAC", vm.network.mac],
    ["Networks", vm.network.networks?.join(", ")],
    ["Secrets", vm.secrets?.map(({ name, hosts }) => `${name} for ${hosts.join(", ")}`).join("; ")],
    ["SSH agent", vm.sshAgent && `for ${vm.sshAgent.hosts.join(", ")}`],
    ["May reach", vm.network.policy && policyText(vm.network.policy)],
    ["Ports", vm.network.ports?.map(portText).join(", ")],
    ["Mounts", mountsText(vm)],
    ["Guest", guestText(vm.guest)],
    ["From snapshot", vm.snapshot],
    ["Copy of", vm.forkOf],
    ["Requested VMM", vm.monitor],
    ["Monitor", vm.vmm && `${vm.vmm.driver} (${vm.vmm.accelerator}), pid ${vm.vmm.pid}`],
    ["Foreground", vm.foreground && `pid ${vm.foreground.pid}`],
    ["Checks", checksText(vm.checks)],
    ["Created", `${vm.createdAt} (${ago(vm.createdAt)})`],
    ["Hostname", vm.hostname],
    ["Labels", labelsText(vm.labels)],
    ["Next start", vm.pending?.join(", ")],
    ["Restart", vm.restart],
    ["Expires", vm.expiresAt],
    ["Idle suspend", vm.idleSuspend_ms ? `after ${formatDuration(vm.idleSuspend_ms)}` : undefined],
    ["Idle stop", vm.idleStop_ms ? `after ${formatDuration(vm.idleStop_ms)}` : undefined],
    ["Started", vm.startedAt && `${vm.startedAt} (${ago(vm.startedAt)})`],
    ["Last exit", vm.exit && `${exitText(vm.exit)} at ${vm.exit.at}`],
    ["Exit detail", vm.exit?.detail],
    ["Warning", vm.warning],
  ]);
}

export function exitText({ reason, status }: VmExit): string {
  return status === undefined ? reason : `${reason} (status ${status})`;
}

function diskLimitsText({
  disk_bytes_per_s: bytes,
  disk_operations_per_s: operations,
}: Vm["limits"] = {}): string | undefined {
  const parts = [bytes && `${formatSize(bytes)}/s`, operations && `${operations} operations/s`];
  return parts.filter(Boolean).join(", ") || undefined;
}

function netLimitsText({
  net_in_bytes_per_s: inward,
  net_out_bytes_per_s: outward,
}: Vm["limits"] = {}): string | undefined {
  const parts = [inward && `${formatSize(inward)}/s in`, outward && `${formatSize(outward)}/s out`];
  return parts.filter(Boolean).join(", ") || undefined;
}

function labelsText(labels: Vm["labels"] = {}): string | undefined {
  const texts = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
  return texts.length > 0 ? texts.join(", ") : undefined;
}

export function imageTable(images: readonly Image[]): string {
  return table(
    ["NAME", "REFERENCE", "PLATFORM", "KERNEL", "SIZE", "ON DISK", "CREATED"],
    images.map((image) => [
      image.name,
      image.reference,
      image.platform,
      image.kernel ?? "-",
      formatSize(image.size_bytes),
      formatSize(image.allocated_bytes),
      ago(image.createdAt),
    ]),
  );
}

export function imageText(image: Image): string {
  const { config } = image;
  return pairs([
    ["Name", image.name],
    ["Id", image.id],
    ["Reference", image.reference],
    ["Digest", image.digest],
    ["Platform", image.platform],
    ["Kernel", image.kernel],
    ["Layers", String(image.layers)],
    ["Size", `${formatSize(image.size_bytes)}, ${formatSize(image.allocated_bytes)} on disk`],
    ["Rootfs", image.rootfs],
    ["Provisioned", provisionedText(image)],
    ["Files", image.managed ? undefined : "the user's own"],
    ["Kernel file", image.files.kernel],
    ["Initrd", image.files.initrd],
    ["Modules", image.files.modules],
    ["Work seed", image.files.workSeed],
    ["Built", image.builtAt],
    ["Created", `${image.createdAt} (${ago(image.createdAt)})`],
    ["Entrypoint", words(config.entrypoint)],
    ["Command", words(config.cmd)],
    ["Environment", words(config.env)],
    ["Directory", config.workdir],
    ["User", config.user],
    ["Ports", config.exposedPorts?.join(" ")],
    ["Stop signal", config.stopSignal],
    ["Health check", words(config.healthcheck?.test)],
    ["Volumes", config.volumes?.join(" ")],
    ["Shell", words(config.shell)],
    ["On build", config.onBuild?.join("; ")],
    ["Author", config.author],
  ]);
}

function provisionedText({ provisioned }: Image): string | undefined {
  if (!provisioned) return undefined;
  const { size_bytes, allocated_bytes, createdAt } = provisioned;
  return `${formatSize(size_bytes)}, ${formatSize(allocated_bytes)} on disk, ${ago(createdAt)}`;
}

export function kernelTable(kernels: readonly Kernel[]): string {
  return table(
    ["NAME", "VERSION", "ARCH", "SIZE", "SOURCE", "IMPORTED"],
    kernels.map((kernel) => [
      kernel.name,
      kernel.version,
      kernel.arch,
      formatSize(kernel.size_bytes),
      kernel.source,
      ago(kernel.importedAt),
    ]),
  );
}

export function kernelText(kernel: Kernel): string {
  return pairs([
    ["Name", kernel.name],
    ["Version", kernel.version],
    ["Distribution", kernel.distro],
    ["Arch", kernel.arch],
    ["Digest", kernel.digest],
    ["Source", kernel.source],
    ["Features", kernel.features.join(" ")],
    ["Size", formatSize(kernel.size_bytes)],
    ["Imported", `${kernel.importedAt} (${ago(kernel.importedAt)})`],
    ["Path", kernel.path],
  ]);
}

/** An argument vector, unambiguously. */
function words(list: readonly string[] | undefined): string | undefined {
  return list && list.length > 0 ? list.map((word) => JSON.stringify(word)).join(" ") : undefined;
}
