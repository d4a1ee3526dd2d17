/** Builds a newer banger: the same source with a higher version and one more migration. */
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./tree.ts";

export const NEWER_VERSION = "999.0.0";

/** Makes it in an empty `folder`, and gives the words that start it. */
export function makeNewerBanger(folder: string): string[] {
  mkdirSync(join(folder, "build/bin"), { recursive: true });
  for (const path of ["src", "sdk", "guest", "recipes", "tsconfig.json"]) {
    cpSync(join(ROOT, path), join(folder, path), { recursive: true });
  }
  for (const embedded of [
    "build/bin/banger-vsock-agent",
    "build/bin/banger-inflate",
    "build/bin/banger-jail",
    "build/bin/banger-share",
  ]) {
    cpSync(join(ROOT, embedded), join(folder, embedded));
  }
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as object;
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({ ...manifest, version: NEWER_VERSION }),
  );
  const steps = join(folder, "src/store/migrations.ts");
  const text = readFileSync(steps, "utf8");
  const end = text.lastIndexOf("];");
  if (end < 0) throw new Error("the migrations do not end as they did");
  writeFileSync(steps, `${text.slice(0, end)}sql("ALTER TABLE vms ADD COLUMN later TEXT"),\n];\n`);
  return [process.execPath, join(folder, "src/main.ts")];
}
