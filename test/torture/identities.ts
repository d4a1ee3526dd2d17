/**
 * `make torture`: identities.ts [MACHINES] restores machines of one template, which all run at the end, and fails when two
 * of them have something in common that has to be unique.
 */
import { join } from "node:path";
import type { Vm } from "#api/vm.ts";
import { busyboxLayout } from "#test/busybox.ts";
import { clashes, type Identity, identityOf, KINDS } from "#test/identities.ts";
import { install } from "#test/installation.ts";
import { giveKernel, KERNEL } from "#test/pulled-kernel.ts";

const MACHINES_DEFAULT = 50;
const AT_ONCE = 4;
const KIND = [
  "--image",
  "seeded",
  "--mode",
  "direct",
  "--memory",
  "128M",
  "--disk",
  "64M",
  "--nat",
];

const count = Number(process.argv[2] ?? MACHINES_DEFAULT);
await using banger = install();
const seed = { name: "var/lib/systemd/random-seed", body: "x".repeat(512) };
const layout = join(banger.home, "layout");
await busyboxLayout(layout, { more: [[seed]] });
await giveKernel(banger);
await banger.ok("image", "pull", `oci:${layout}`, "--name", "seeded", "--kernel-ref", KERNEL);

const names = Array.from({ length: count }, (_, index) => `one-of-${index}`);
const left = [...names];
const identities: Identity[] = [];
const templates = new Set<string | undefined>();
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    for (let name = left.shift(); name !== undefined; name = left.shift()) {
      const vm = await banger.json<Vm>("vm", "create", "--name", name, ...KIND);
      templates.add(vm.template);
      identities.push(await identityOf(banger, name));
    }
  }),
);
const wrong = clashes(identities, { needed: KINDS });
for (const text of wrong) console.log(text);
console.log(
  `${identities.length} machines of ${templates.size} template: ${KINDS.length} values each, ${wrong.length} of them not unique`,
);
await banger.ok("vm", "rm", "--force", ...names);
if (wrong.length > 0 || templates.size !== 1 || templates.has(undefined)) process.exitCode = 1;
