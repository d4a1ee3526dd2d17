/**
 * Bundles the web UI into build/bin/banger-ui.pack, which is embedded in the program: each file by its name, compressed.
 * Does nothing if no source has changed; fails if the UI has outgrown its budgets.
 */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const INPUTS = ["src/web", "src/api", "src/base", "sdk/src"];
const FILES = ["package.json", "bun.lock", "scripts/build-ui.ts"];
/** Of all files, compressed, the terminal and the graphs included. */
const BUDGET_BYTES = 200 * 1024;
const OUT = "build/bin/banger-ui.pack";
const STAMP = "build/bin/.ui-stamp";

type UiPack = Record<string, { type: string; gzip: string }>;

const TYPES: Record<string, string> = {
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
};

process.chdir(join(import.meta.dir, ".."));
const stamp = inputDigest();
if (existsSync(OUT) && existsSync(STAMP) && readFileSync(STAMP, "utf8") === stamp) process.exit(0);
await build();

async function build(): Promise<void> {
  const result = await Bun.build({
    entrypoints: ["src/web/main.tsx", "src/web/style/app.css"],
    target: "browser",
    format: "esm",
    minify: true,
    splitting: true,
    naming: "[name]-[hash].[ext]",
    // Below the page's path, so that the address of a page does not matter.
    publicPath: "/ui/assets/",
    define: { "process.env.NODE_ENV": '"production"' },
  });
  for (const log of result.logs) console.error(String(log));
  if (!result.success) throw new Error("the web UI could not be bundled");
  const files: UiPack = {};
  const names = { js: "", css: "" };
  for (const output of result.outputs) {
    const name = output.path.split("/").at(-1) ?? "";
    const extension = name.split(".").at(-1) ?? "";
    const type = TYPES[extension];
    if (!type) throw new Error(`the web UI has a file of an unknown type: ${name}`);
    files[name] = packed(type, new Uint8Array(await output.arrayBuffer()));
    if (output.kind === "entry-point") names.js = name;
    if (extension === "css") names.css = name;
  }
  files["icon.svg"] = packed("image/svg+xml", readFileSync("src/web/icon.svg"));
  files["index.html"] = packed("text/html; charset=utf-8", Buffer.from(page(names)));
  const size_bytes = Object.values(files).reduce(
    (sum, { gzip }) => sum + Buffer.from(gzip, "base64").length,
    0,
  );
  if (size_bytes > BUDGET_BYTES) {
    throw new Error(`the web UI is too large: ${size_bytes} bytes of ${BUDGET_BYTES}`);
  }
  mkdirSync("build/bin", { recursive: true });
  writeFileSync(`${OUT}.part`, JSON.stringify(files));
  renameSync(`${OUT}.part`, OUT);
  writeFileSync(STAMP, stamp);
}

/** The bar is there before the script has run. */
function page({ js, css }: { js: string; css: string }): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>banger</title>
<link rel="icon" href="/ui/assets/icon.svg">
<link rel="stylesheet" href="/ui/assets/${css}">
<script type="module" src="/ui/assets/${js}"></script>
<body><div id="app"><header class="bar"><span class="mark">banger</span></header></div><noscript>The web UI needs JavaScript.</noscript></body>
</html>
`;
}

function packed(type: string, bytes: Uint8Array): UiPack[string] {
  return { type, gzip: gzipSync(bytes, { level: 9 }).toString("base64") };
}

function inputDigest(): string {
  const hash = createHash("sha256").update(Bun.version);
  const below = INPUTS.flatMap((folder) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !/\.test\.tsx?$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort(),
  );
  for (const path of [...below, ...FILES]) hash.update(`\0${path}\0`).update(readFileSync(path));
  return hash.digest("hex");
}
