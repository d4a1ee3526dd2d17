/**
 * A Debian root file system as an OCI layout, built once with mmdebstrap from the host's package sources and kept in
 * build/cache for the demo and all tests.
 */
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { CACHE, madeOnce } from "./made-once.ts";
import { makeLayout } from "./oci-layout.ts";

const AGE_MAX_MS = 7 * 24 * 3600 * 1000;

export interface DebianOptions {
  suite?: string;
  /** More packages than the minbase variant has, and what the layout is called with them. */
  with?: { name: string; packages: readonly string[] };
  signal?: AbortSignal;
}

/** The minbase variant, tagged with the suite. Gives the layout's folder. */
export async function debianLayout(options: DebianOptions = {}): Promise<string> {
  const suite = options.suite ?? "bookworm";
  const layout = join(CACHE, `debian-${suite}-${options.with?.name ?? "minbase"}`);
  const isFresh = () => existsSync(layout) && Date.now() - statSync(layout).mtimeMs < AGE_MAX_MS;
  const make = async (staging: string) => {
    const scratch = mkdtempSync(`${layout}-`);
    try {
      const tar = join(scratch, "rootfs.tar");
      await mmdebstrap(suite, tar, options);
      await makeLayout(staging, [tar], {
        config: {
          Cmd: ["bash"],
          Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        },
        tag: suite,
      });
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  };
  return await madeOnce(layout, make, isFresh);
}

async function mmdebstrap(
  suite: string,
  tar: string,
  { with: more, signal }: DebianOptions,
): Promise<void> {
  const sudo = process.getuid?.() === 0 ? [] : ["sudo", "-n"];
  const flags = ["--mode=root", "--variant=minbase", "--format=tar"];
  if (more) flags.push(`--include=${more.packages.join(",")}`);
  // The tar comes through a pipe so that it is ours whoever runs mmdebstrap.
  const child = Bun.spawn([...sudo, "mmdebstrap", ...flags, suite, "-", "-"], {
    stdin: new Blob([await hostSources(suite)]),
    stdout: Bun.file(tar),
    stderr: "pipe",
    signal,
  });
  const [log, status] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  if (status !== 0) throw new Error(`mmdebstrap failed:\n${log.slice(-3000)}`);
}

/** This computer's own package sources for a suite, as lines of a sources.list. */
async function hostSources(suite: string): Promise<string> {
  const format = "$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT)";
  const child = Bun.spawn(["apt-get", "indextargets", "--format", format], { stderr: "inherit" });
  const lines = (await new Response(child.stdout).text()).split("\n").flatMap((line) => {
    const [kind, uri, release, component] = line.split(" ");
    const isOurs = kind === "Packages" && component === "main";
    return isOurs && release?.split("-")[0] === suite ? [`deb ${uri} ${release} main`] : [];
  });
  if (lines.length > 0) return `${[...new Set(lines)].join("\n")}\n`;
  throw new Error(`apt on this computer has no sources for Debian "${suite}"`);
}
