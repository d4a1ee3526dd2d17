/** ssh options to reach machines: the proxy command, and banger's own keys. */
import { selfCommand } from "#base/self-command.ts";
import { quoteWord } from "#base/shell/word.ts";
import type { Paths } from "#config/paths.ts";

const WEAK_CRYPTO = "WarnWeakCrypto";
/** Without names that would end the quotes in which the shell gets them: older versions of ssh take any. */
const HOSTS = `Host *.vm "!*'*"`;

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
    ["IgnoreUnknown", WEAK_CRYPTO],
    // Nothing leaves this computer, so that no key exchange needs to last for decades.
    [WEAK_CRYPTO, "no"],
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
  const options = sshOptions(paths).filter(([name]) => name !== "IgnoreUnknown");
  // An option that ssh does not know is an error for every host, not only for those of the block.
  const known = options.filter(([name, value]) => name !== WEAK_CRYPTO || doesSshKnow(name, value));
  const lines = [["User", "root"] as const, ["Port", "22"] as const, ...known];
  return [HOSTS, ...lines.map(([name, value]) => `    ${name} ${value}`)].join("\n");
}

/** In the place of the user's configuration: all that ssh would read, and then the user of machines where nothing said one. */
export function defaultsFile(): string {
  const files = ["~/.ssh/config", "/etc/ssh/ssh_config"];
  return [...files.map((file) => `Include ${file}`), "Host *.vm", "    User root", ""].join("\n");
}

function doesSshKnow(name: string, value: string): boolean {
  const ssh = Bun.which("ssh");
  if (!ssh) return false;
  const argv = [ssh, "-F", "none", "-o", `${name}=${value}`, "-G", "localhost"];
  return Bun.spawnSync(argv, { stdout: "ignore", stderr: "ignore" }).success;
}

/** Run by the user's shell, after ssh has replaced what begins with a percent sign. */
export function proxyCommand(self: readonly string[]): string {
  const words = self.map((word) => quoteWord(word).replaceAll("%", "%%"));
  return [...words, "ssh-proxy", "'%n'"].join(" ");
}

/** In ssh's own configuration, where a percent sign begins a token. */
export function quotePath(path: string): string {
  return quoteArgument(path.replaceAll("%", "%%"));
}

/** Of Include: a pattern, in which the characters that some versions of ssh replace stand for themselves. */
export function quotePattern(path: string): string {
  return quoteArgument(path.replaceAll(/[%$*[\]{}\\"]/g, "?"));
}

function quoteArgument(text: string): string {
  if (/^[\w@%+=:,./?-]+$/.test(text)) return text;
  return `"${text.replaceAll(/["\\]/g, "\\$&")}"`;
}
