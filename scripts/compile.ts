/**
 * Compiles the program into one file, for the build and for tests that run its command line.
 *
 *     bun scripts/compile.ts OUTFILE     stamped as a development build
 */
export interface Stamp {
  version: string;
  /** A git commit, or "dev". */
  commit: string;
  /** ISO 8601, or "dev". */
  builtAt: string;
}

export async function compileProgram(outfile: string, stamp: Stamp): Promise<void> {
  const result = await Bun.build({
    entrypoints: ["src/main.ts"],
    target: "bun",
    format: "esm",
    minify: true,
    sourcemap: "linked",
    bytecode: true,
    // A command loads its own handler only, which is most of what keeps the start short.
    splitting: true,
    define: {
      BANGER_VERSION: JSON.stringify(stamp.version),
      BANGER_COMMIT: JSON.stringify(stamp.commit),
      BANGER_BUILT_AT: JSON.stringify(stamp.builtAt),
    },
    // Without these two, the program would run what ./bunfig.toml and ./.env of the
    // folder that it is started in tell it to.
    compile: { outfile, autoloadBunfig: false, autoloadDotenv: false },
  });
  for (const log of result.logs) console.error(String(log));
  if (!result.success) throw new Error("the program could not be compiled");
}

export async function packageVersion(): Promise<string> {
  const { version } = (await Bun.file("package.json").json()) as { version: string };
  return version;
}

if (import.meta.main) {
  const outfile = process.argv[2];
  if (!outfile) throw new Error("Usage: bun scripts/compile.ts OUTFILE");
  process.chdir(`${import.meta.dir}/..`);
  await compileProgram(outfile, {
    version: await packageVersion(),
    commit: "dev",
    builtAt: "dev",
  });
}
