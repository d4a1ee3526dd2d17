/**
 * `make torture`: code-interpreter.ts builds the code interpreter's image on a Debian that has its packages, and runs
 * E2B's client against it.
 */
import { join } from "node:path";
import { debianLayout } from "#test/debian.ts";
import { listenByConfig, npmClients, runNode, withToken } from "#test/e2b/clients.ts";
import { install } from "#test/installation.ts";
import { giveKernel, KERNEL } from "#test/pulled-kernel.ts";

const PACKAGES = ["python3-ipykernel", "python3-jupyter-client"];
const RECIPE = join(import.meta.dir, "../../recipes/images/code-interpreter");

await using banger = install();
const url = await listenByConfig(banger);
const [layout] = await Promise.all([
  debianLayout({ with: { name: "code-interpreter", packages: PACKAGES } }),
  npmClients(),
  giveKernel(banger),
]);
await banger.ok("image", "pull", `oci:${layout}`, "--name", "base", "--kernel-ref", KERNEL);
// No network is needed for packages that are there.
const flags = ["--build-arg", "BASE=base", "--build-arg", "PACKAGES=", "--net", "none"];
await banger.ok("image", "build", RECIPE, "--name", "code-interpreter", ...flags);
const output = await runNode(await withToken(banger, { url, scope: "own" }), "interpreter");
if (!output.endsWith("done\n")) throw new Error(output);
console.log("E2B's code interpreter client: done");
