/** Small repositories for the real package managers, with packages named like those that a first boot installs. */
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { runOk } from "#base/run.ts";

export interface Package {
  name: string;
  needs?: string[];
  provides?: string[];
  /** Packages that are not to be installed with it. */
  recommends?: string[];
  files?: Record<string, string>;
  /** Shell commands that run after the installation of the package. */
  script?: string;
}

/** Files that begin with `#!` are programs. */
function writeFiles(folder: string, files: Record<string, string> = {}): void {
  for (const [path, text] of Object.entries(files)) {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    chmodSync(file, text.startsWith("#!") ? 0o755 : 0o644);
  }
}

/** A repository of signed packages for dnf and zypper, in `repo`; `work` is a scratch directory. */
export async function rpmRepository(
  repo: string,
  packages: Package[],
  work: string,
): Promise<void> {
  const spec = [
    "Name: source\nVersion: 1\nRelease: 1\nSummary: test\nLicense: none\nBuildArch: noarch",
    "%description\ntest",
    "%install",
    `cp -a ${work}/tree/. %{buildroot}/`,
  ];
  for (const { name, needs = [], provides = [], recommends = [], files = {}, script } of packages) {
    writeFiles(join(work, "tree"), files);
    spec.push(
      `%package -n ${name}\nSummary: test\nAutoReqProv: no`,
      ...needs.map((need) => `Requires: ${need}`),
      ...provides.map((what) => `Provides: ${what}`),
      ...recommends.map((what) => `Recommends: ${what}`),
      `%description -n ${name}\ntest`,
      ...(script ? [`%post -n ${name}\n${script}`] : []),
      `%files -n ${name}`,
      ...Object.keys(files).map((path) => `/${path}`),
    );
  }
  mkdirSync(join(work, "tree"), { recursive: true });
  writeFileSync(join(work, "all.spec"), `${spec.join("\n")}\n`);
  const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: work, GNUPGHOME: join(work, "gnupg") };
  const define = {
    _topdir: join(work, "rpm"),
    _rpmdir: repo,
    _gpg_name: "test",
    __gpg: "/usr/bin/gpg",
  };
  const defines = Object.entries(define).flatMap(([name, value]) => [
    "--define",
    `${name} ${value}`,
  ]);
  await runOk(["rpmbuild", "-bb", ...defines, join(work, "all.spec")], { env });
  mkdirSync(env.GNUPGHOME, { mode: 0o700 });
  const gpg = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""];
  try {
    await runOk([...gpg, "--quick-gen-key", "test <test@example.com>", "rsa2048", "sign"], { env });
    const rpms = packages.map(({ name }) => join(repo, "noarch", `${name}-1-1.noarch.rpm`));
    await runOk(["rpmsign", ...defines, "--addsign", ...rpms], { env });
    await runOk(["createrepo_c", "--quiet", "--no-database", repo], { env });
    const metadata = join(repo, "repodata/repomd.xml");
    await runOk([...gpg, "--armor", "--detach-sign", metadata], { env });
    await runOk([...gpg, "--armor", "--output", `${metadata}.key`, "--export"], { env });
  } finally {
    await runOk(["gpgconf", "--kill", "all"], { env });
  }
}

/** A repository for pacman, named `test`, in `repo`. */
export async function pacmanRepository(
  repo: string,
  packages: Package[],
  work: string,
): Promise<void> {
  mkdirSync(repo, { recursive: true });
  for (const { name, needs = [], provides = [], recommends = [], files, script } of packages) {
    const folder = join(work, name);
    mkdirSync(folder, { recursive: true });
    writeFiles(folder, files);
    const info = [
      `pkgname = ${name}\npkgbase = ${name}\npkgver = 1-1\npkgdesc = test`,
      "url = https://example.com\nbuilddate = 1\npackager = test\nsize = 1\narch = any",
      ...needs.map((need) => `depend = ${need}`),
      ...provides.map((what) => `provides = ${what}`),
      ...recommends.map((what) => `optdepend = ${what}`),
    ];
    writeFileSync(join(folder, ".PKGINFO"), `${info.join("\n")}\n`);
    if (script) writeFileSync(join(folder, ".INSTALL"), `post_install() {\n${script}\n}\n`);
    const file = join(repo, `${name}-1-1-any.pkg.tar.zst`);
    await runOk(["bsdtar", "--zstd", "-cf", file, ...readdirSync(folder)], { cwd: folder });
  }
  const files = readdirSync(repo).map((name) => join(repo, name));
  await runOk(["repo-add", "--quiet", join(repo, "test.db.tar.gz"), ...files]);
}
