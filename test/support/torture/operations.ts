/** The operations during which the daemon is killed, and checks that each is complete or undone. */
import { join } from "node:path";
import type { Installation } from "#test/installation.ts";
import { KERNEL } from "#test/pulled-kernel.ts";
import type { Records } from "./inventory.ts";

export interface Operation {
  name: string;
  /** What must be there before; `name` is new for each round. */
  prepare?: (banger: Installation, name: string) => Promise<unknown>;
  args: (banger: Installation, name: string) => string[];
  /** Undefined for neither. */
  outcome: (records: Records, name: string) => "done" | "undone" | undefined;
}

export const STEADY = "steady";
export const IMAGE = "busybox";

const DIRECT = ["--image", IMAGE, "--mode", "direct", "--memory", "256M"];

function createArgs(name: string, net: string, ...more: string[]): string[] {
  return ["vm", "create", "--name", name, "--net", net, ...DIRECT, ...more];
}

function stateOf({ machines }: Records, name: string): string | undefined {
  return machines.find((vm) => vm.name === name)?.state;
}

/** From the states that stand for done and undone, `undefined` for no machine. */
function byState(
  done: (string | undefined)[],
  undone: (string | undefined)[],
): Operation["outcome"] {
  return (records, name) => {
    const state = stateOf(records, name);
    if (done.includes(state)) return "done";
    return undone.includes(state) ? "undone" : undefined;
  };
}

/** Machines with a tap only where the tests may make one. */
export function operations(net: "nat" | "none"): Operation[] {
  return [
    {
      name: "create, no network",
      args: (_, name) => createArgs(name, "none"),
      outcome: byState(["running"], [undefined]),
    },
    {
      name: `create, --net ${net}`,
      args: (_, name) => createArgs(name, net),
      outcome: byState(["running"], [undefined]),
    },
    {
      name: "create --no-start",
      args: (_, name) => createArgs(name, "none", "--no-start"),
      outcome: byState(["stopped"], [undefined]),
    },
    {
      name: "start",
      prepare: (banger, name) => banger.ok(...createArgs(name, net, "--no-start")),
      args: (_, name) => ["vm", "start", name],
      outcome: byState(["running"], ["stopped"]),
    },
    {
      name: "stop",
      prepare: (banger, name) => banger.ok(...createArgs(name, net)),
      args: (_, name) => ["vm", "stop", name],
      outcome: byState(["stopped"], ["running"]),
    },
    {
      name: "rm --force",
      prepare: (banger, name) => banger.ok(...createArgs(name, net)),
      args: (_, name) => ["vm", "rm", "--force", name],
      outcome: byState([undefined], ["running", "stopped"]),
    },
    {
      name: "run",
      args: (_, name) => ["vm", "run", "--name", name, "--net", net, "-m", "256M", IMAGE, "true"],
      outcome: byState([undefined], [undefined]),
    },
    {
      name: "exec",
      args: () => ["vm", "exec", STEADY, "--", "sh", "-c", "echo one; sleep 0.2; echo two"],
      outcome: (records) => (stateOf(records, STEADY) === "running" ? "done" : undefined),
    },
    {
      name: "image pull",
      args: ({ home }, name) => ["image", "pull", `oci:${home}/layout`, "--name", name],
      outcome: ({ images }, name) =>
        images.some((each) => each.name === name) ? "done" : "undone",
    },
    {
      name: "kernel import",
      args: ({ home }, name) => {
        const from = join(home, "state/banger/kernels", KERNEL);
        return ["kernel", "import", "--from", from, "--name", name];
      },
      outcome: ({ kernels }, name) =>
        kernels.some((each) => each.name === name) ? "done" : "undone",
    },
    {
      name: "kernel pull --force",
      args: () => ["kernel", "pull", "--force", KERNEL],
      outcome: ({ kernels }) => (kernels.some(({ name }) => name === KERNEL) ? "done" : undefined),
    },
    {
      name: "image gc",
      args: () => ["image", "gc"],
      outcome: ({ images }) => (images.some((each) => each.name === IMAGE) ? "done" : undefined),
    },
  ];
}

/** Removes what a round may have left under its name. */
export async function tidyUp(banger: Installation, records: Records, name: string): Promise<void> {
  if (records.machines.some((vm) => vm.name === name)) {
    await banger.ok("vm", "rm", "--force", name);
  }
  if (records.images.some((image) => image.name === name)) await banger.ok("image", "rm", name);
  if (records.kernels.some((kernel) => kernel.name === name)) {
    await banger.ok("kernel", "rm", name);
  }
}
