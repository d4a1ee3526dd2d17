/** What modprobe reads beside the modules, as depmod writes it, from what the modules themselves contain. */
import { moduleName } from "#kernels/modules.ts";
import { binaryIndex } from "./binary-index.ts";

export interface IndexedModule {
  name: string;
  /** Below /lib/modules/RELEASE: "kernel/fs/ext4/ext4.ko". */
  path: string;
  depends: readonly string[];
  softdeps: readonly string[];
  aliases: readonly string[];
}

export interface BuiltinLists {
  /** The text of modules.builtin: paths, one a line. */
  builtin: string;
  /** The text of modules.builtin.modinfo: "name.key=value", NUL-terminated. */
  modinfo: string;
}

/**
 * Read by the agent, which creates the nodes. As modules.devname it would have systemd run /bin/kmod for them, and fail
 * in images without it.
 */
const NODES = "nodes";

/** On x86, only udev loads these; now opening /dev/kvm does, and the one for another processor fails to load. */
const KVM_MODULES = ["kvm_amd", "kvm_intel"];
const KVM_ALIASES = ["char-major-10-232", "devname:kvm"];

/** `found`: in the order of their priority, the best first. */
export function indexFiles(
  found: readonly IndexedModule[],
  { builtin, modinfo }: BuiltinLists,
): Map<string, Uint8Array> {
  const modules = found.map((module) =>
    KVM_MODULES.includes(module.name)
      ? { ...module, aliases: [...new Set([...module.aliases, ...KVM_ALIASES])] }
      : module,
  );
  const lines = dependencyLines(modules);
  const aliases = modules.flatMap(({ name, aliases: own }, priority) =>
    own.filter((alias) => /^\S+$/.test(alias)).map((alias) => ({ alias, name, priority })),
  );
  const builtinNames = builtin.split("\n").filter(Boolean).map(moduleName);
  const softdeps = modules.flatMap(({ name, softdeps: own }) =>
    own.map((text) => `softdep ${name} ${text}`),
  );
  const texts = {
    "modules.dep": lines,
    "modules.alias": aliases.map(({ alias, name }) => `alias ${alias} ${name}`),
    "modules.softdep": softdeps,
    [NODES]: modules.flatMap(deviceLines),
    "modules.order": modules.map(({ path }) => path),
    "modules.builtin": builtin.split("\n").filter(Boolean),
    "modules.symbols": [],
  };
  const keyed = {
    "modules.dep.bin": modules.map(({ name }, priority) => ({
      key: name,
      value: lines[priority] ?? "",
      priority,
    })),
    "modules.alias.bin": aliases.map(({ alias, name, priority }) => ({
      key: plainPattern(alias),
      value: name,
      priority,
    })),
    "modules.symbols.bin": [],
    "modules.builtin.bin": builtinNames.map((key) => ({ key, value: "", priority: 0 })),
    "modules.builtin.alias.bin": builtinAliases(modinfo),
  };
  return new Map<string, Uint8Array>([
    ...Object.entries(texts).map(([name, own]) => [name, Buffer.from(joined(own))] as const),
    ...Object.entries(keyed).map(([name, own]) => [name, binaryIndex(own)] as const),
    ["modules.builtin.modinfo", Buffer.from(modinfo)],
  ]);
}

/** "MODULE: NEED…" with indirect dependencies; modprobe loads the last one first. */
function dependencyLines(modules: readonly IndexedModule[]): string[] {
  const byName = new Map(modules.map((module) => [module.name, module]));
  return modules.map((module) => {
    const order: IndexedModule[] = [];
    const seen = new Set([module.name]);
    const visit = ({ depends }: IndexedModule): void => {
      for (const need of depends) {
        const found = byName.get(need);
        if (!found || seen.has(need)) continue;
        seen.add(need);
        visit(found);
        order.push(found);
      }
    };
    visit(module);
    return `${module.path}:${order
      .reverse()
      .map(({ path }) => ` ${path}`)
      .join("")}`;
  });
}

/** Device nodes whose opening loads the module: "tun net/tun c10:200". */
function deviceLines({ name, aliases }: IndexedModule): string[] {
  const device = aliases.find((alias) => alias.startsWith("devname:"))?.slice("devname:".length);
  const number = aliases
    .map((alias) => /^(char|block)-major-(\d+)-(\d+)$/.exec(alias))
    .find((match) => match !== null);
  if (!device || !number || !/^[\w/-]+$/.test(device)) return [];
  const [, type, major, minor] = number;
  return [`${name} ${device} ${type === "char" ? "c" : "b"}${major}:${minor}`];
}

function builtinAliases(modinfo: string) {
  return modinfo.split("\0").flatMap((text) => {
    const match = /^([^.=]+)\.alias=(\S+)$/.exec(text);
    return match
      ? [{ key: plainPattern(match[2] ?? ""), value: moduleName(match[1] ?? ""), priority: 0 }]
      : [];
  });
}

/** modprobe compares with "_" for "-", except within brackets. */
function plainPattern(alias: string): string {
  return alias.replace(/\[[^\]]*\]|-/g, (found) => (found === "-" ? "_" : found));
}

function joined(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}
