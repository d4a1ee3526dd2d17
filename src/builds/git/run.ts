/**
 * Runs git on untrusted repositories: with a home of its own instead of the user's, without hooks, prompts and
 * redirects, over http, https and git only, and with limits on memory, time and files.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import { type RunResult, run, which } from "#base/run.ts";
import { GiB, MiB } from "#base/size.ts";
import { proxyFor } from "#http/proxy.ts";

/**
 * The remote's name in the configuration: an address is never an argument, where other users could read its
 * credentials.
 */
export const REMOTE = "source";

const FILE_MAX_BYTES = 8 * GiB;
const MEMORY_MAX_BYTES = 8 * GiB;
const CPU_MAX_S = 1800;
const TIMEOUT_MS = 1_800_000;
const OUTPUT_MAX_BYTES = 128 * MiB;

export interface GitHome {
  path: string;
  /** URL of the remote, after redirects. */
  url: URL;
  /** The hostname to send in the git protocol when the remote's URL has an address. */
  virtualHost: string | undefined;
  signal: AbortSignal | undefined;
}

/** `address`: the resolved address to connect to. */
export function gitHome(
  folder: string,
  options: { url: URL; address: string | undefined; signal: AbortSignal | undefined },
): GitHome {
  const { url, address, signal } = options;
  if (!which("git")) {
    throw new BangerError("unsupported", "Cannot fetch a repository: git is not installed", {
      hint: "sudo apt-get install git",
    });
  }
  mkdirSync(folder, { mode: 0o700 });
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const pin = address?.includes(":") ? `[${address}]` : address;
  // curl gets the resolved address; the git protocol has no such option.
  const isPinned = url.protocol === "git:" && pin !== undefined && pin !== host;
  const lines = [
    section("remote", { url: (isPinned ? withHostname(url, pin) : url).href }, REMOTE),
    section("http", {
      followRedirects: "false",
      proxy: proxyFor(url)?.href ?? "",
      lowSpeedLimit: "1000",
      lowSpeedTime: "60",
      ...(pin && pin !== host ? { curloptResolve: `${host}:${port}:${pin}` } : {}),
    }),
    section("core", {
      hooksPath: "/dev/null",
      fsmonitor: "false",
      attributesFile: "/dev/null",
      excludesFile: "/dev/null",
      packedGitLimit: "512m",
      packedGitWindowSize: "32m",
      bigFileThreshold: "16m",
      logAllRefUpdates: "false",
    }),
    section("protocol", { allow: "never" }),
    ...["http", "https", "git"].map((name) => section("protocol", { allow: "always" }, name)),
    section("init", { defaultBranch: "master", templateDir: "" }),
    section("pack", { threads: "1" }),
    section("gc", { auto: "0" }),
    section("maintenance", { auto: "false" }),
    section("credential", { helper: "" }),
    section("fetch", { recurseSubmodules: "false" }),
    section("submodule", { recurse: "false" }),
    section("advice", { detachedHead: "false" }),
    section("safe", { directory: "*" }),
  ];
  writeFileSync(join(folder, ".gitconfig"), lines.join(""), { mode: 0o600 });
  return { path: folder, url, virtualHost: isPinned ? url.host : undefined, signal };
}

/** The hostname of a URL with a non-web scheme cannot be set. */
function withHostname(url: URL, address: string): URL {
  return new URL(`${url.protocol}//${address}${url.port && `:${url.port}`}${url.pathname}`);
}

export async function git(home: GitHome, args: readonly string[]): Promise<RunResult> {
  const limits = [
    `--fsize=${FILE_MAX_BYTES}`,
    `--as=${MEMORY_MAX_BYTES}`,
    `--cpu=${CPU_MAX_S}`,
    "--core=0",
  ];
  return await run(["prlimit", ...limits, which("git") ?? "git", ...args], {
    isApart: true,
    timeout_ms: TIMEOUT_MS,
    outputMax_bytes: OUTPUT_MAX_BYTES,
    signal: home.signal,
    cwd: home.path,
    env: {
      HOME: home.path,
      LC_ALL: "C",
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_ATTR_NOSYSTEM: "1",
      GIT_TERMINAL_PROMPT: "0",
      GIT_ASKPASS: "/bin/false",
      GIT_ALLOW_PROTOCOL: "http:https:git",
      GIT_OPTIONAL_LOCKS: "0",
      ...(home.virtualHost ? { GIT_OVERRIDE_VIRTUAL_HOST: home.virtualHost } : {}),
    },
  });
}

/** The stdout of git; `what` begins the error message on failure. */
export async function gitOk(home: GitHome, args: readonly string[], what: string): Promise<string> {
  const result = await git(home, args);
  if (result.exitCode === 0) return result.stdout;
  throw gitFailure(what, result);
}

export function gitFailure(what: string, { stderr, exitCode }: RunResult): BangerError {
  const lines = stderr
    .split("\n")
    .map((line) => line.replace(/^(fatal|error|remote): /, "").trim());
  const output = lines
    .filter((line) => line !== "" && !line.startsWith("hint:"))
    .slice(-3)
    .join("; ");
  const shown = output.replace(/\/\/[^/@\s]*@/g, "//").slice(0, 1000);
  return new BangerError(
    "unavailable",
    `${what}: ${shown || `git failed with exit status ${exitCode}`}`,
  );
}

function section(name: string, values: Record<string, string>, subsection?: string): string {
  const title = subsection === undefined ? `[${name}]` : `[${name} "${subsection}"]`;
  const lines = Object.entries(values).map(([key, value]) => {
    const escaped = value.replace(/["\\]/g, "\\$&");
    return `\t${key} = "${escaped}"\n`;
  });
  return `${title}\n${lines.join("")}`;
}
