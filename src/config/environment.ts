/** Environment variables that the CLI reads besides the configuration. */
import { makePaths, type Paths, resolveRoots } from "./paths.ts";

/** Those that decide where banger's folders are, as far as they are set. */
export function folderVariables(): Record<string, string> {
  const names = ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"];
  return Object.fromEntries(
    names.flatMap((name): [string, string][] => {
      const value = process.env[name];
      return value ? [[name, value]] : [];
    }),
  );
}

/** Undefined when the variable is not set. */
export function variable(name: string): string | undefined {
  return process.env[name];
}

/** https://no-color.org, and terminals that know no escape sequences. */
export function forbidsColor(): boolean {
  return Boolean(process.env["NO_COLOR"]) || process.env["TERM"] === "dumb";
}

/**
 * How much memory the runtime believes that the computer has. It lets garbage lie until that is scarce: a pull
 * of many files would otherwise keep a third more of it, and save no time by that.
 */
export const RUNTIME_MEMORY = { BUN_JSC_forceRAMSize: String(256 * 1024 * 1024) } as const;

/** The environment for another process of banger, without what would make its runtime load something else. */
export function daemonEnvironment(): Record<string, string | undefined> {
  const {
    BUN_OPTIONS: _options,
    BUN_BE_BUN: _beBun,
    NOTIFY_SOCKET: _notifySocket,
    ...rest
  } = process.env;
  return { ...rest, ...RUNTIME_MEMORY };
}

/** Where a service manager listens; undefined without one. No program that this one starts is told of it. */
export function takeNotifySocket(): string | undefined {
  const path = process.env["NOTIFY_SOCKET"];
  delete process.env["NOTIFY_SOCKET"];
  return path || undefined;
}

/** Who has called this program by way of sudo; undefined without sudo. */
export function sudoUser_uid(): number | undefined {
  const text = process.env["SUDO_UID"] ?? "";
  return /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}

/** The folders of a user that this process may not run as. HOME is root's under sudo, the XDG variables are not. */
export function pathsOfUser({ user_uid, home }: { user_uid: number; home: string }): Paths {
  return makePaths(resolveRoots(user_uid === sudoUser_uid() ? process.env : {}, home));
}

/** Where this process could show a browser. `ssh`: USER@HOST of the login that it runs in, if it is a remote one. */
export function desktopOf(env: Record<string, string | undefined> = process.env): {
  ssh: string | undefined;
  hasDisplay: boolean;
} {
  // "CLIENT PORT SERVER PORT"
  const server = (env["SSH_CONNECTION"] ?? "").split(" ")[2];
  const user = env["USER"] ?? env["LOGNAME"];
  const host = server?.includes(":") ? `[${server}]` : server;
  return {
    ssh: host && (user ? `${user}@${host}` : host),
    hasDisplay: Boolean(env["DISPLAY"] || env["WAYLAND_DISPLAY"]),
  };
}
