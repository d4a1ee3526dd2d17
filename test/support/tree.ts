/** The project's own files and their imports, for the tests of its rules. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

export const ROOT = join(import.meta.dir, "../..");

export interface SourceFile {
  path: string;
  text: string;
  lines: string[];
}

export function isTest(path: string): boolean {
  return /\.test\.tsx?$/.test(path) || path.startsWith("test/");
}

export function readSource(path: string): SourceFile {
  const text = readFileSync(join(ROOT, path), "utf8");
  return { path, text, lines: text.replace(/\n$/, "").split("\n") };
}

/** What git tracks or would track; outside of git, all but what is installed and built. */
export function listFiles(): string[] {
  const git = Bun.spawnSync(["git", "ls-files", "-z", "-co", "--exclude-standard"], { cwd: ROOT });
  const paths =
    git.exitCode === 0
      ? git.stdout.toString().split("\0").filter(Boolean)
      : [...new Bun.Glob("**/*").scanSync({ cwd: ROOT, dot: true })].filter(
          (path) => !/^(node_modules|build|\.git)\//.test(path),
        );
  return paths.filter((path) => existsSync(join(ROOT, path))).sort();
}

/** The file in the tree that a "#…" specifier means. */
export function targetOf(specifier: string): string | undefined {
  if (!specifier.startsWith("#")) return undefined;
  for (const [pattern, replacement] of aliases) {
    if (specifier.startsWith(pattern)) return replacement + specifier.slice(pattern.length);
  }
  return undefined;
}

export function resolveImport(file: SourceFile, specifier: string): string {
  return targetOf(specifier) ?? normalize(join(dirname(file.path), specifier));
}

/** By regular expression, since Bun's own scanner leaves out `import type`. */
export function imports({ text }: SourceFile): { specifier: string; line: number }[] {
  const pattern = /(?:^|[\s;}])(?:from\s*|import\s*\(\s*|import\s+)"([^"\n]+)"/g;
  return [...text.matchAll(pattern)].map((match) => ({
    specifier: match[1] ?? "",
    line: text.slice(0, (match.index ?? 0) + match[0].length).split("\n").length,
  }));
}

export function grep(files: SourceFile[], pattern: RegExp): string[] {
  return files.flatMap(({ path, lines }) =>
    lines.flatMap((text, index) =>
      pattern.test(text) ? [`${path}:${index + 1}: ${text.trim().slice(0, 120)}`] : [],
    ),
  );
}

/** package.json's "imports", longest first, without their stars. */
const aliases: [string, string][] = Object.entries(
  (
    JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
      imports: Record<string, string>;
    }
  ).imports,
)
  .map(([from, to]): [string, string] => [
    from.replace("*", ""),
    to.replace("*", "").replace("./", ""),
  ])
  .sort((a, b) => b[0].length - a[0].length);
