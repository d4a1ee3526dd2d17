/**
 * Runs the host's git, as the user who called banger, on a repository whose configuration, hooks and attributes may be
 * hostile. Only commands that read no file content of the working tree are used, so that no filter can run; everything
 * else that a repository's configuration could start is switched off here. Paths are bytes in latin1 strings.
 */
import { onAbort, throwIfAborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import { which } from "#base/run.ts";
import { GiB, KiB } from "#base/size.ts";
import { variable } from "#config/environment.ts";

const TIMEOUT_MS = 3_600_000;
const OUTPUT_MAX_BYTES = GiB;
const STDERR_MAX_BYTES = 64 * KiB;
const SHOWN_ERROR_LINES = 4;

/** Overrides settings that would run programs or change files. The environment takes precedence over files. */
const SAFE_CONFIG: readonly (readonly [string, string])[] = [
  ["core.hooksPath", "/dev/null"],
  ["core.fsmonitor", "false"],
  ["core.untrackedCache", "false"],
  ["core.splitIndex", "false"],
  ["core.pager", "cat"],
  ["core.editor", "false"],
  ["core.askPass", "false"],
  ["core.sshCommand", "false"],
  ["core.gitProxy", "false"],
  ["core.alternateRefsCommand", "true"],
  ["core.quotePath", "true"],
  ["credential.helper", ""],
  ["diff.external", ""],
  ["diff.noprefix", "false"],
  ["diff.mnemonicPrefix", "false"],
  ["diff.relative", "false"],
  ["diff.submodule", "short"],
  ["diff.ignoreSubmodules", "none"],
  ["gpg.program", "false"],
  ["log.showSignature", "false"],
  ["index.sparse", "false"],
  ["index.threads", "1"],
  ["gc.auto", "0"],
  ["maintenance.auto", "false"],
  ["fetch.recurseSubmodules", "false"],
  ["fetch.writeCommitGraph", "false"],
  ["fetch.fsckObjects", "true"],
  ["transfer.fsckObjects", "true"],
  ["submodule.recurse", "false"],
  ["protocol.allow", "never"],
  ["protocol.ext.allow", "never"],
  ["protocol.file.allow", "never"],
  ["color.ui", "false"],
  ["advice.detachedHead", "false"],
  ["safe.bareRepository", "all"],
];

export interface Git {
  /** The repository's directory. */
  gitDir: string;
  /** Undefined: an empty directory. */
  workTree?: string | undefined;
  /** Of ours, not the user's: no configuration but its own is read. */
  isScratch?: boolean;
  indexFile?: string;
  config?: readonly (readonly [string, string])[];
  signal?: AbortSignal | undefined;
}

/** Limits for processing data from a guest. */
const LIMITS = [`--as=${8 * GiB}`, `--fsize=${16 * GiB}`, "--cpu=1800", "--core=0"];

export interface GitOptions {
  stdin?: string | Uint8Array | Bun.BunFile;
  /** For output too large to buffer. */
  onOutput?: (chunk: Uint8Array) => void;
  outputMax_bytes?: number;
  env?: Record<string, string>;
}

export interface GitResult {
  exitCode: number;
  /** Bytes as a latin1 string. */
  stdout: string;
  stderr: string;
}

export function requireGit(): void {
  if (which("git")) return;
  throw new BangerError("unsupported", "Cannot import a repository: git is not installed", {
    hint: "Install git, for example: sudo apt-get install git",
  });
}

export async function git(
  repository: Git,
  args: readonly string[],
  options: GitOptions = {},
): Promise<GitResult> {
  const { signal } = repository;
  throwIfAborted(signal);
  requireGit();
  const { stdin } = options;
  const prlimit = repository.isScratch ? which("prlimit") : undefined;
  const limits = prlimit ? [prlimit, ...LIMITS] : [];
  const child = Bun.spawn([...limits, which("git") ?? "git", ...args], {
    stdin: typeof stdin === "string" ? Buffer.from(stdin, "latin1") : (stdin ?? "ignore"),
    stdout: "pipe",
    stderr: "pipe",
    cwd: repository.workTree ?? repository.gitDir,
    env: { ...environmentOf(repository), ...options.env },
  });
  let failure: BangerError | undefined;
  const end = (error: BangerError): void => {
    failure ??= error;
    child.kill("SIGKILL");
  };
  const timer = setTimeout(() => end(new BangerError("timeout", "git timed out")), TIMEOUT_MS);
  using _ = onAbort(signal, () => end(new BangerError("cancelled", "cancelled")));
  const max = options.outputMax_bytes ?? OUTPUT_MAX_BYTES;
  try {
    const [stdout, stderr, exitCode] = await Promise.all([
      options.onOutput
        ? pass(child.stdout, options.onOutput)
        : collect(child.stdout, max, () =>
            end(new BangerError("limit_exceeded", `git printed more than ${max} bytes`)),
          ),
      collect(child.stderr, STDERR_MAX_BYTES),
      child.exited,
    ]);
    if (failure) throw failure;
    return { exitCode, stdout, stderr: Buffer.from(stderr, "latin1").toString() };
  } finally {
    clearTimeout(timer);
  }
}

/** The stdout of git. `what` begins the message of a failure: "Cannot import …". */
export async function gitOk(
  repository: Git,
  args: readonly string[],
  options: GitOptions & { what: string },
): Promise<string> {
  const result = await git(repository, args, options);
  if (result.exitCode === 0) return result.stdout;
  throw gitError(options.what, result);
}

export function gitError(what: string, { stderr, exitCode }: GitResult): BangerError {
  const lines = stderr
    .split("\n")
    .map((line) => line.replace(/^(fatal|error|warning): /, "").trim())
    .filter((line) => line !== "" && !line.startsWith("hint:"));
  const shown = lines.slice(-SHOWN_ERROR_LINES).join("; ").slice(0, 2000);
  return new BangerError(
    "invalid_state",
    `${what}: ${shown || `git failed with exit status ${exitCode}`}`,
  );
}

function environmentOf(repository: Git): Record<string, string> {
  const config = [...SAFE_CONFIG, ...(repository.config ?? [])];
  const home = variable("HOME") ?? "/";
  const xdg = variable("XDG_CONFIG_HOME");
  const user: Record<string, string> = xdg ? { HOME: home, XDG_CONFIG_HOME: xdg } : { HOME: home };
  const own = { HOME: "/nonexistent", GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_NOSYSTEM: "1" };
  return {
    PATH: variable("PATH") ?? "/usr/bin:/bin",
    LC_ALL: "C",
    TZ: variable("TZ") ?? "",
    ...(repository.isScratch ? own : user),
    GIT_DIR: repository.gitDir,
    ...(repository.workTree ? { GIT_WORK_TREE: repository.workTree } : {}),
    ...(repository.indexFile ? { GIT_INDEX_FILE: repository.indexFile } : {}),
    GIT_OPTIONAL_LOCKS: "0",
    GIT_TERMINAL_PROMPT: "0",
    GIT_NO_LAZY_FETCH: "1",
    GIT_NO_REPLACE_OBJECTS: "1",
    GIT_LITERAL_PATHSPECS: "1",
    GIT_ATTR_NOSYSTEM: "1",
    GIT_PAGER: "cat",
    GIT_EDITOR: "false",
    GIT_ASKPASS: "false",
    SSH_ASKPASS: "false",
    GIT_SSH_COMMAND: "false",
    GIT_CONFIG_COUNT: String(config.length),
    ...Object.fromEntries(
      config.flatMap(([key, value], index) => [
        [`GIT_CONFIG_KEY_${index}`, key],
        [`GIT_CONFIG_VALUE_${index}`, value],
      ]),
    ),
  };
}

async function collect(
  stream: ReadableStream<Uint8Array>,
  max: number,
  tooMuch?: () => void,
): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size <= max) chunks.push(chunk);
    else tooMuch?.();
  }
  return Buffer.concat(chunks).toString("latin1");
}

async function pass(
  stream: ReadableStream<Uint8Array>,
  onOutput: (chunk: Uint8Array) => void,
): Promise<string> {
  for await (const chunk of stream) onOutput(chunk);
  return "";
}
