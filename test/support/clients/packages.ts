/** A repository for git, and packages for pip, npm and apt, below one directory. */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runOk } from "#base/run.ts";
import { makeSigner, writeRepository } from "#test/deb-repository.ts";
import { TestRepository } from "#test/git-server.ts";

/** More than git sends in one piece, and than curl sends without waiting for "100 Continue". */
const LARGE_BYTES = 3_000_000;
/** More than a fetch can name in a body that is not compressed. */
const COMMITS = 40;
const WHEEL = `import base64, hashlib, sys, zipfile
files = {"thing.py": "hello = 'hello'\\n",
  "thing-1.0.dist-info/METADATA": "Metadata-Version: 2.1\\nName: thing\\nVersion: 1.0\\n",
  "thing-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"}
record = "".join(f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}\\n"
  for name, text in files.items()) + "thing-1.0.dist-info/RECORD,,\\n"
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
  for name, text in {**files, "thing-1.0.dist-info/RECORD": record}.items(): wheel.writestr(name, text)
`;

export async function prepareSite(site: string): Promise<void> {
  await prepareGit(join(site, "git"));
  await preparePip(join(site, "simple/thing"));
  await prepareNpm(join(site, "npm"));
  await prepareApt(site);
  writeFileSync(join(site, "put.bin"), incompressible());
}

async function prepareGit(folder: string): Promise<void> {
  const source = new TestRepository(join(folder, "source"));
  source.commit({ "README.md": "hello\n", "large.bin": incompressible() });
  for (let count = 0; count < COMMITS; count++) source.commit({ [`file-${count}`]: `${count}\n` });
  const bare = join(folder, "repo.git");
  await runOk(["git", "clone", "--quiet", "--bare", join(folder, "source"), bare]);
  await runOk(["git", "-C", bare, "config", "http.receivepack", "true"]);
}

async function preparePip(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const name = "thing-1.0-py3-none-any.whl";
  await runOk(["python3", "-c", WHEEL, join(folder, name)]);
  const hash = createHash("sha256")
    .update(readFileSync(join(folder, name)))
    .digest("hex");
  writeFileSync(join(folder, "index.html"), `<a href="${name}#sha256=${hash}">${name}</a>\n`);
}

/** As npm itself packs it; its tarball is named by URL, as registries do. */
async function prepareNpm(registry: string): Promise<void> {
  const folder = join(registry, "thing/-");
  mkdirSync(folder, { recursive: true });
  const manifest = { name: "thing", version: "1.0.0", main: "index.js" };
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
  writeFileSync(join(folder, "index.js"), "module.exports = 'hello';\n");
  await runOk(["npm", "pack", "--silent"], { cwd: folder });
  const tarball = "thing-1.0.0.tgz";
  const bytes = readFileSync(join(folder, tarball));
  const integrity = `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
  const dist = { tarball: `https://shop.test/npm/thing/-/${tarball}`, integrity };
  const document = {
    name: "thing",
    "dist-tags": { latest: "1.0.0" },
    versions: { "1.0.0": { ...manifest, dist } },
  };
  writeFileSync(join(registry, "thing/index.json"), JSON.stringify(document));
}

async function prepareApt(site: string): Promise<void> {
  const folder = join(site, "debian");
  mkdirSync(folder);
  const signer = await makeSigner(join(site, ".gnupg"));
  const files = { "usr/share/thing": incompressible() };
  await writeRepository(folder, [{ name: "thing", files }], { signer });
  const key = join(folder, "key.asc");
  writeFileSync(`${key}.new`, signer.publicKey);
  renameSync(`${key}.new`, key);
}

function incompressible(): string {
  const bytes = new Uint8Array(LARGE_BYTES);
  for (let at = 0; at < bytes.length; at += 65_536) {
    crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  }
  return Buffer.from(bytes).toString("base64");
}
