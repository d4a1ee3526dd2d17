/** Modules of a pulled kernel for machines without any, in load order. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { loadOrder, openModuleTree, readModule } from "#kernels/modules.ts";
import type { TarEntry } from "./busybox.ts";

/** Entries of a layer with `wanted`, and what they need, in /modules. `bundle`: the kernel's folder in the state. */
export async function kernelModules(bundle: string, ...wanted: string[]): Promise<TarEntry[]> {
  const folder = join(bundle, "modules");
  const [release = ""] = readdirSync(folder);
  const tree = openModuleTree(join(folder, release));
  const names = await loadOrder(tree, wanted);
  return await Promise.all(
    names.map(async (name, index) => ({
      name: `modules/${String(index).padStart(2, "0")}-${name}.ko`,
      mode: 0o644,
      body: await readModule(join(tree.root, tree.files.get(name) ?? "")),
    })),
  );
}
