/** TLS to the real server, verified with the host's roots. */
import { readFileSync, statSync } from "node:fs";
import type { Duplex } from "node:stream";
import * as tls from "node:tls";
import { MiB } from "#base/size.ts";
import { variable } from "#config/environment.ts";
import { Refused } from "./refused.ts";

/** Where distributions have the roots that they trust: Debian, Alpine and Arch; Fedora; SUSE; Alpine. */
const BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];
const BUNDLE_MAX_BYTES = 8 * MiB;
const HANDSHAKE_MAX_MS = 30_000;

let cached: { key: string; context: tls.SecureContext } | undefined;

export async function connectTls(
  socket: Duplex,
  {
    host,
    protocols,
    signal,
    roots,
  }: { host: string; protocols: string[]; signal: AbortSignal; roots: string | undefined },
): Promise<tls.TLSSocket> {
  const done = Promise.withResolvers<void>();
  const limit = AbortSignal.any([signal, AbortSignal.timeout(HANDSHAKE_MAX_MS)]);
  const secure = tls.connect({
    socket,
    servername: host,
    ALPNProtocols: protocols,
    secureContext: rootsContext(roots ?? hostBundle()),
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
  });
  const stop = () => done.reject(new Refused(`no TLS with ${host} in time`, { status: 504 }));
  limit.addEventListener("abort", stop, { once: true });
  secure.once("secureConnect", () => done.resolve());
  secure.once("error", done.reject);
  secure.once("close", () => done.reject(new Error("the server closed the connection")));
  try {
    await done.promise;
    const wrong = secure.authorized
      ? tls.checkServerIdentity(host, secure.getPeerCertificate())
      : (secure.authorizationError ?? new Error("not verified"));
    if (wrong) throw wrong;
    secure.on("error", () => secure.destroy());
    return secure;
  } catch (error) {
    secure.on("error", () => {});
    secure.destroy();
    if (error instanceof Refused) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new Refused(`cannot verify ${host}: ${reason}`, { status: 502 });
  } finally {
    limit.removeEventListener("abort", stop);
  }
}

/** The roots of a bundle; those that came with this program where the host has none. Read again when it has changed. */
function rootsContext(path: string | undefined): tls.SecureContext {
  const info = path === undefined ? undefined : statSync(path);
  const key = `${path} ${info?.ino} ${info?.mtimeMs} ${info?.size}`;
  if (cached?.key === key) return cached.context;
  const ca = path === undefined ? tls.rootCertificates.join("\n") : readFileSync(path, "utf8");
  cached = { key, context: tls.createSecureContext({ ca }) };
  return cached.context;
}

/** Undefined where the host has none. */
export function hostBundle(): string | undefined {
  const own = variable("SSL_CERT_FILE");
  const paths = own ? [own] : BUNDLES;
  return paths.find((path) => {
    const info = statSync(path, { throwIfNoEntry: false });
    return info?.isFile() && info.size > 0 && info.size <= BUNDLE_MAX_BYTES;
  });
}
