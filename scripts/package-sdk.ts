/**
 * Builds the published package of the SDK into build/sdk: ESM without dependencies, and its types.
 *
 *     bun scripts/package-sdk.ts
 */
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { packageVersion } from "./compile.ts";

const OUT = "build/sdk";
const TYPES = `${OUT}/types`;
/** What Node 18 and 20 lack of what the sources use. */
const BANNER = `const bangerWithResolvers = () => {
  let resolve, reject;
  const promise = new Promise((yes, no) => { resolve = yes; reject = no; });
  return { promise, resolve, reject };
};`;

process.chdir(join(import.meta.dir, ".."));
rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT, { recursive: true });
await bundle();
emitTypes();
await writeManifest();
for (const name of ["README.md", "llms.txt"]) copyFileSync(`sdk/${name}`, `${OUT}/${name}`);
cpSync("sdk/skills", `${OUT}/skills`, { recursive: true });
copyFileSync("LICENSE", `${OUT}/LICENSE`);

/** The second entry takes all that it needs from the first one. */
async function bundle(): Promise<void> {
  const common = { target: "node", format: "esm", outdir: OUT } as const;
  await build({
    ...common,
    entrypoints: ["sdk/src/package.ts"],
    naming: "index.js",
    banner: BANNER,
    define: { "Promise.withResolvers": "bangerWithResolvers" },
  });
  const fromIndex: Bun.BunPlugin = {
    name: "index",
    setup: ({ onResolve }) =>
      void onResolve({ filter: /^(\.\/package|#base\/error)\.ts$/ }, () => ({
        path: "./index.js",
        external: true,
      })),
  };
  const entrypoints = ["sdk/src/computesdk.ts"];
  await build({ ...common, entrypoints, naming: "computesdk.js", plugins: [fromIndex] });
}

async function build(config: Bun.BuildConfig): Promise<void> {
  const result = await Bun.build(config);
  for (const log of result.logs) console.error(String(log));
  if (!result.success) throw new Error("the SDK could not be bundled");
}

/** The declarations that the entry reaches, with their imports as files beside each other. */
function emitTypes(): void {
  const scratch = `${OUT}/declarations`;
  const argv = ["node_modules/.bin/tsc", "--project", "sdk/tsconfig.json", "--outDir", scratch];
  const { success, stdout } = Bun.spawnSync(argv);
  if (!success) throw new Error(`Cannot emit the types of the SDK:\n${stdout}`);
  const queue = ["sdk/src/package.d.ts", "sdk/src/computesdk.d.ts"];
  const seen = new Set(queue);
  for (let path = queue.shift(); path; path = queue.shift()) {
    const from = path;
    const text = readFileSync(join(scratch, path), "utf8").replaceAll(
      /(from |import\()"([^"]+)"/g,
      (whole, keyword: string, specifier: string) => {
        const target = resolve(from, specifier);
        if (target === undefined) return whole;
        if (!seen.has(target)) queue.push(target);
        seen.add(target);
        const way = relative(dirname(from), target).replace(/\.d\.ts$/, ".js");
        return `${keyword}"${way.startsWith(".") ? way : `./${way}`}"`;
      },
    );
    mkdirSync(dirname(join(TYPES, path)), { recursive: true });
    writeFileSync(join(TYPES, path), text);
  }
  rmSync(scratch, { recursive: true });

  function resolve(from: string, specifier: string): string | undefined {
    const sources = specifier.replace(/\.ts$/, ".d.ts");
    if (sources.startsWith("#sdk/")) return sources.replace("#sdk/", "sdk/src/");
    if (sources.startsWith("#")) return sources.replace("#", "src/");
    if (sources.startsWith(".")) return join(dirname(from), sources);
    if (specifier.startsWith("node:")) return undefined;
    throw new Error(`the types of the SDK need ${specifier}, which the package does not have`);
  }
}

async function writeManifest(): Promise<void> {
  const manifest = JSON.parse(readFileSync("sdk/manifest.json", "utf8")) as object;
  const entry = "types/sdk/src/package.d.ts";
  if (!existsSync(join(OUT, entry))) throw new Error(`missing: ${entry}`);
  const whole = { ...manifest, version: await packageVersion() };
  writeFileSync(`${OUT}/package.json`, `${JSON.stringify(whole, undefined, 2)}\n`);
}
