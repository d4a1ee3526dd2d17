/** How ssh is told to reach machines: through banger, with keys that banger keeps. */
import { selfCommand } from "#cli/daemon/self.ts";
import type { Paths } from "#config/paths.ts";

/** The name that a machine's host key is known by, and that ssh is told to go to. */
export function hostAlias(vm: string): string {
  return `${vm}.vm`;
}

/** The machine that "testbox.vm" or "testbox" means. */
export function vmOfHost(host: string): string {
  return host.endsWith(".vm") ? host.slice(0, -".vm".length) : host;
}

/** Option and value, in the order in which ssh must read them. */
export function sshOptions(paths: Paths): readonly (readonly [string, string])[] {
  return [
    // The next one is new in OpenSSH 10; an older one would refuse it.
    ["IgnoreUnknown", "WarnWeakCrypto"],
    // Nothing leaves this computer, so that no key exchange needs to last for decades.
    ["WarnWeakCrypto", "no"],
    ["ProxyCommand", proxyCommand(selfCommand())],
    ["UserKnownHostsFile", quotePath(paths.knownHosts)],
    ["GlobalKnownHostsFile", "/dev/null"],
    ["StrictHostKeyChecking", "yes"],
    ["HostKeyAlgorithms", "ssh-ed25519"],
    ["UpdateHostKeys", "no"],
    ["CheckHostIP", "no"],
    ["IdentityFile", quotePath(paths.sshKey)],
    ["IdentitiesOnly", "yes"],
    ["AddKeysToAgent", "no"],
    ["PreferredAuthentications", "publickey"],
  ];
}

/** The block of ~/.ssh/config after which `ssh NAME.vm` works. */
export function configBlock(paths: Paths): string {
  const lines = [["User", "root"] as const, ["Port", "22"] as const, ...sshOptions(paths)];
  return ["Host *.vm", ...lines.map(([name, value]) => `    ${name} ${value}`)].join("\n");
}

/** Run by the user's shell, after ssh has replaced what begins with a percent sign. */
export function proxyCommand(self: readonly string[]): string {
  const words = self.map((word) => quoteWord(word).replaceAll("%", "%%"));
  return [...words, "ssh-proxy", "%n"].join(" ");
}

function quoteWord(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** In ssh's own configuration, where a percent sign begins a token. */
function quotePath(path: string): string {
  const escaped = path.replaceAll("%", "%%");
  return /\s/.test(escaped) ? `"${escaped}"` : escaped;
}
