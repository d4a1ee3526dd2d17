/** A signed Debian repository of small packages. */
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { sha256 } from "#base/digest.ts";
import { runOk } from "#base/run.ts";

export interface Deb {
  name: string;
  /** Lines of its control file. */
  fields?: string[];
  compression?: "xz" | "gzip" | "zstd" | "none";
  files?: Record<string, string>;
  postinst?: string;
  /** More files beside its control file. */
  control?: Record<string, string>;
}

export interface Signer {
  /** Armored. */
  publicKey: string;
  sign(text: string): Promise<string>;
}

/** A key in `home`; `isExpired`: it was made long ago, for a day. */
export async function makeSigner(home: string, { isExpired = false } = {}): Promise<Signer> {
  mkdirSync(home, { mode: 0o700 });
  const env = { GNUPGHOME: home };
  const then = isExpired ? ["--faked-system-time", "20200101T120000"] : [];
  const gpg = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""];
  const generate = ["--quick-gen-key", "test <test@example.com>", "rsa2048", "sign"];
  try {
    await runOk([...gpg, ...then, ...generate, isExpired ? "1d" : "never"], { env });
    const publicKey = await runOk([...gpg, "--armor", "--export"], { env });
    const sign = async (text: string) => {
      const signed = await runOk([...gpg, ...then, "--clearsign"], { env, stdin: text });
      await runOk(["gpgconf", "--kill", "all"], { env });
      return signed;
    };
    return { publicKey, sign };
  } finally {
    await runOk(["gpgconf", "--kill", "all"], { env });
  }
}

/** Builds a package and gives its path. */
export async function buildDeb(
  folder: string,
  { name, fields = [], compression = "xz", files = {}, postinst, control = {} }: Deb,
): Promise<string> {
  const tree = join(folder, `${name}.tree`);
  const put = (path: string, text: string, mode = 0o644) => {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), text);
    chmodSync(join(tree, path), mode);
  };
  const own = ["Version: 1:1.0~a", "Architecture: amd64", "Maintainer: test", "Description: test"];
  const names = new Set(fields.map((line) => line.split(":")[0]));
  const rest = own.filter((line) => !names.has(line.split(":")[0]));
  put("DEBIAN/control", `${[`Package: ${name}`, ...fields, ...rest].join("\n")}\n`);
  if (postinst) put("DEBIAN/postinst", `#!/bin/sh\n${postinst}\n`, 0o755);
  for (const [file, text] of Object.entries(control)) put(`DEBIAN/${file}`, text);
  put(`usr/share/doc/${name}/copyright`, `of ${name}\n`);
  for (const [path, text] of Object.entries(files)) put(path, text);
  const deb = join(folder, `${name}_1.0~a_amd64.deb`);
  await runOk(["dpkg-deb", "--root-owner-group", `-Z${compression}`, "--build", tree, deb]);
  return deb;
}

/** The repository's files are in `folder`, which a web server shows: suite "test", component "main". */
export async function writeRepository(
  folder: string,
  debs: readonly Deb[],
  { signer, head = [] }: { signer: Signer; head?: string[] },
): Promise<void> {
  const pool = join(folder, "pool");
  mkdirSync(pool, { recursive: true });
  let list = "";
  for (const deb of debs) {
    const path = await buildDeb(pool, deb);
    const control = await runOk(["dpkg-deb", "--field", path]);
    const hash = sha256(readFileSync(path)).slice("sha256:".length);
    const name = path.slice(folder.length + 1);
    list += `${control}Filename: ${name}\nSize: ${statSync(path).size}\nSHA256: ${hash}\n\n`;
  }
  const place = "main/binary-amd64/Packages";
  const target = join(folder, "dists/test", place);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, list);
  const hash = sha256(list).slice("sha256:".length);
  const release = [
    "Origin: test\nSuite: test\nCodename: test\nArchitectures: amd64\nComponents: main",
    `Date: ${new Date().toUTCString().replace("GMT", "+0000")}`,
    ...head,
    `SHA256:\n ${hash} ${Buffer.byteLength(list)} ${place}\n`,
  ].join("\n");
  writeFileSync(join(folder, "dists/test/InRelease"), await signer.sign(release));
}
