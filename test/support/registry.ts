/** A real registry (Debian's docker-registry) on a free port of 127.0.0.1, and a client that pushes. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LIMIT_MS } from "./limit.ts";
import { type Descriptor, readIndex } from "./oci-layout.ts";
import { startReaper } from "./reaper.ts";

const START_TIMEOUT_MS = LIMIT_MS;

export interface RegistryOptions {
  /** Asks for these credentials when given. */
  login?: { user: string; password: string };
  /** Another `auth` section for its configuration. */
  auth?: Record<string, unknown>;
}

export interface Registry extends AsyncDisposable {
  /** "127.0.0.1:PORT". */
  readonly host: string;
  /** Where its blobs are, for tests that damage them. */
  readonly folder: string;
  stop(): Promise<void>;
}

export async function startRegistry(options: RegistryOptions = {}): Promise<Registry> {
  const folder = mkdtempSync(join(tmpdir(), "banger-registry-"));
  const reaper = startReaper(folder);
  const config = join(folder, "config.json");
  writeFileSync(config, JSON.stringify(await configuration(folder, options)));
  const child = Bun.spawn(["docker-registry", "serve", config], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const stop = async () => {
    child.kill("SIGKILL");
    await child.exited;
    rmSync(folder, { recursive: true, force: true });
    reaper[Symbol.dispose]();
  };
  const timer = setTimeout(() => child.kill("SIGKILL"), START_TIMEOUT_MS);
  const host = await listeningAddress(child.stderr);
  clearTimeout(timer);
  if (host) return { host, folder, stop, [Symbol.asyncDispose]: stop };
  await stop();
  throw new Error("docker-registry did not start");
}

/** Pushes the one image of an OCI layout as `name:tag`, and gives its manifest's digest. */
export async function pushLayout(
  layout: string,
  target: { host: string; name: string; tag: string; authorization?: string },
): Promise<string> {
  const blob = (digest: string) => join(layout, "blobs", digest.replace(":", "/"));
  const [manifest] = readIndex(layout).manifests;
  if (!manifest) throw new Error(`no image in ${layout}`);
  const text = readFileSync(blob(manifest.digest), "utf8");
  const { config, layers } = JSON.parse(text) as { config: Descriptor; layers: Descriptor[] };
  const base = `http://${target.host}/v2/${target.name}`;
  const headers: Record<string, string> = target.authorization
    ? { authorization: target.authorization }
    : {};
  for (const { digest } of [config, ...layers]) {
    const opened = await expectOk(fetch(`${base}/blobs/uploads/`, { method: "POST", headers }));
    const location = new URL(opened.headers.get("location") ?? "", base);
    location.searchParams.set("digest", digest);
    const body = Bun.file(blob(digest));
    await expectOk(fetch(location, { method: "PUT", body, headers }));
  }
  await expectOk(
    fetch(`${base}/manifests/${target.tag}`, {
      method: "PUT",
      headers: { ...headers, "content-type": manifest.mediaType },
      body: text,
    }),
  );
  return manifest.digest;
}

async function configuration(folder: string, { login, auth }: RegistryOptions): Promise<object> {
  const base = {
    version: "0.1",
    log: { level: "info" },
    storage: { filesystem: { rootdirectory: folder }, delete: { enabled: true } },
    http: { addr: "127.0.0.1:0" },
  };
  if (auth) return { ...base, auth };
  if (!login) return base;
  const path = join(folder, "htpasswd");
  const hash = await Bun.password.hash(login.password, { algorithm: "bcrypt", cost: 4 });
  writeFileSync(path, `${login.user}:${hash}\n`);
  return { ...base, auth: { htpasswd: { realm: "test", path } } };
}

/** Reads the log until it says where the registry listens, and goes on emptying the pipe. */
async function listeningAddress(log: ReadableStream<Uint8Array>): Promise<string | undefined> {
  const address = Promise.withResolvers<string | undefined>();
  const read = async () => {
    const decoder = new TextDecoder();
    let text = "";
    for await (const chunk of log) {
      if (text.length < 64 * 1024) text += decoder.decode(chunk, { stream: true });
      const found = /listening on (127\.0\.0\.1:\d+)/.exec(text)?.[1];
      if (found) address.resolve(found);
    }
    address.resolve(undefined);
  };
  read().catch(address.reject);
  return address.promise;
}

async function expectOk(pending: Promise<Response>): Promise<Response> {
  const response = await pending;
  if (response.ok) return response;
  throw new Error(`${response.url}: ${response.status} ${(await response.text()).slice(0, 500)}`);
}
