/**
 * Puts the certificate of a machine's own authority where the guest's programs look for roots: written by the host
 * through the agent, so that it works in every image, without a shell and without the tools of its distribution.
 */
import { createHash, X509Certificate } from "node:crypto";
import { posix } from "node:path";
import { getLogger } from "@logtape/logtape";
import { messageOf } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import type { Agent } from "#guest/agent.ts";

const log = getLogger(["banger", "vm"]);

const FOLDER = "/etc/banger";
const CERTIFICATE = `${FOLDER}/ca.pem`;
/** With the guest's own roots. */
const BUNDLE = `${FOLDER}/ca-bundle.pem`;
const BUNDLE_MAX_BYTES = 4 * MiB;
const RELEASE_MAX_BYTES = 64 * 1024;
const KEYTOOL_MAX_MS = 120_000;

/** Where each family of distributions has its roots in one file, and where its own tool looks for more of them. */
const STORES = [
  // Debian and Alpine.
  {
    ids: ["debian", "ubuntu", "alpine"],
    bundle: "/etc/ssl/certs/ca-certificates.crt",
    anchors: "/usr/local/share/ca-certificates",
    name: "banger.crt",
  },
  // Fedora.
  {
    ids: ["fedora", "rhel", "centos"],
    bundle: "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    anchors: "/etc/pki/ca-trust/source/anchors",
    name: "banger.pem",
  },
  // Arch.
  {
    ids: ["arch"],
    bundle: "/etc/ca-certificates/extracted/tls-ca-bundle.pem",
    anchors: "/etc/ca-certificates/trust-source/anchors",
    name: "banger.crt",
  },
  // SUSE.
  {
    ids: ["suse", "opensuse"],
    bundle: "/var/lib/ca-certificates/ca-bundle.pem",
    anchors: "/etc/pki/trust/anchors",
    name: "banger.pem",
  },
];
/** OpenSSL looks a root up here by the hash of its name. */
const HASHED = "/etc/ssl/certs";
const KEYTOOLS = [
  "/usr/bin/keytool",
  "/opt/java/openjdk/bin/keytool",
  "/usr/lib/jvm/default/bin/keytool",
  "/usr/lib/jvm/default-jvm/bin/keytool",
];

/** For programs that come with roots of their own, or look elsewhere. */
export const trustEnvironment: Record<string, string> = {
  SSL_CERT_FILE: BUNDLE,
  CURL_CA_BUNDLE: BUNDLE,
  REQUESTS_CA_BUNDLE: BUNDLE,
  PIP_CERT: BUNDLE,
  GIT_SSL_CAINFO: BUNDLE,
  AWS_CA_BUNDLE: BUNDLE,
  NODE_EXTRA_CA_CERTS: BUNDLE,
  DENO_CERT: BUNDLE,
};

type Guest = Pick<Agent, "files" | "run">;

/** Safe to repeat: a boot finds what the one before has written. */
export async function trustInGuest(
  guest: Guest,
  {
    certificate,
    roots,
    signal,
  }: { certificate: string; roots: () => string; signal?: AbortSignal | undefined },
): Promise<void> {
  const found = await bundlesOf(guest, signal);
  await guest.files.mkdir(FOLDER, { parents: true, signal });
  await write(guest, CERTIFICATE, { text: certificate, signal });
  await write(guest, BUNDLE, { text: joined(found[0]?.text ?? roots(), certificate), signal });
  for (const { store, text } of found) {
    if (text.includes(certificate.trim())) continue;
    await write(guest, store.bundle, { text: joined(text, certificate), signal });
  }
  // Also where roots are installed later, whose tool then finds it.
  const ids = await distributionOf(guest, signal);
  for (const store of STORES) {
    const isFound = found.some((each) => each.store === store);
    if (!isFound && !store.ids.some((id) => ids.has(id))) continue;
    await guest.files.mkdir(store.anchors, { parents: true, signal });
    await write(guest, posix.join(store.anchors, store.name), { text: certificate, signal });
  }
  if (found.length > 0 && (await isThere(guest, HASHED, signal))) {
    const path = posix.join(HASHED, `${subjectHash(certificate)}.0`);
    await write(guest, path, { text: certificate, signal });
  }
  void trustInJava(guest, signal);
}

async function bundlesOf(guest: Guest, signal: AbortSignal | undefined) {
  const all = await Promise.all(
    STORES.map(async (store) => {
      const text = await read(guest, store.bundle, signal);
      return text === undefined ? [] : [{ store, text }];
    }),
  );
  return all.flat();
}

/** Undefined where there is no such file: the others say nothing about the machine's roots. */
async function read(guest: Guest, path: string, signal: AbortSignal | undefined) {
  try {
    // A link leads to the file of another family.
    if ((await guest.files.stat(path, { signal })).kind !== "file") return undefined;
    const bytes = await guest.files.readFile(path, { max_bytes: BUNDLE_MAX_BYTES, signal });
    return Buffer.from(bytes).toString("latin1");
  } catch (error) {
    signal?.throwIfAborted();
    log.debug("no roots at {path}: {message}", { path, message: messageOf(error) });
    return undefined;
  }
}

/** The distribution, and those that it is like. */
async function distributionOf(guest: Guest, signal: AbortSignal | undefined): Promise<Set<string>> {
  const read = (path: string) =>
    guest.files.readFile(path, { max_bytes: RELEASE_MAX_BYTES, signal });
  const bytes = await read("/etc/os-release")
    .catch(() => read("/usr/lib/os-release"))
    .catch(() => new Uint8Array());
  signal?.throwIfAborted();
  const lines = new TextDecoder().decode(bytes).matchAll(/^ID(?:_LIKE)?=["']?([\w .-]*)/gm);
  return new Set([...lines].flatMap(([, words = ""]) => words.split(" ")));
}

async function isThere(guest: Guest, path: string, signal: AbortSignal | undefined) {
  return await guest.files.stat(path, { signal }).then(
    () => true,
    () => false,
  );
}

async function write(
  { files }: Guest,
  path: string,
  { text, signal }: { text: string; signal: AbortSignal | undefined },
): Promise<void> {
  await files.writeFile(path, Buffer.from(text, "latin1"), { mode: 0o644, signal });
}

function joined(bundle: string, certificate: string): string {
  if (bundle.includes(certificate.trim())) return bundle;
  return bundle.endsWith("\n") || bundle === ""
    ? bundle + certificate
    : `${bundle}\n${certificate}`;
}

/** Nobody waits for it: a Java that starts takes its time. */
async function trustInJava(guest: Guest, signal: AbortSignal | undefined): Promise<void> {
  for (const keytool of KEYTOOLS) {
    if (!(await isThere(guest, keytool, signal))) continue;
    const options = ["-noprompt", "-cacerts", "-storepass", "changeit", "-alias", "banger"];
    const argv = [keytool, "-importcert", ...options, "-file", CERTIFICATE];
    await guest
      .run(argv, { signal, timeout_ms: KEYTOOL_MAX_MS })
      .catch((error) => log.debug("keytool: {message}", { message: messageOf(error) }));
    return;
  }
}

/**
 * As OpenSSL names files of roots: the beginning of the SHA-1 of the subject in its canonical form, which for our one
 * common name is that name as UTF-8, in lower case.
 */
export function subjectHash(certificate: string): string {
  const name = /CN=(.*)/.exec(new X509Certificate(certificate).subject)?.[1]?.toLowerCase() ?? "";
  const text = Buffer.from(name);
  const value = Buffer.concat([Buffer.from([0x0c, text.length]), text]);
  const attribute = Buffer.concat([Buffer.from([0x06, 0x03, 0x55, 0x04, 0x03]), value]);
  const pair = Buffer.concat([Buffer.from([0x30, attribute.length]), attribute]);
  const set = Buffer.concat([Buffer.from([0x31, pair.length]), pair]);
  const hash = createHash("sha1").update(set).digest();
  return hash.readUInt32LE(0).toString(16).padStart(8, "0");
}
