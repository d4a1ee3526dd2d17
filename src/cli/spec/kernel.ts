import { textArg } from "#cli/args/numbers.ts";
import { command, group, one, some, toggle, value } from "./types.ts";

export const kernelCommands = group("Kernels: pull, import, list", {
  list: command({
    brief: "List kernels",
    aliases: ["ls"],
    flags: { available: toggle("--available", "Those of the catalog, which can be pulled") },
    examples: ["banger kernel list", "banger kernel list --available"],
  }),
  show: command({
    brief: "Show one kernel",
    aliases: ["inspect"],
    args: { kernel: one("Name of the kernel", { completes: "kernel" }) },
    examples: ["banger kernel show debian-6.12"],
  }),
  pull: command({
    brief: "Fetch a kernel of the catalog",
    args: { kernel: one("Name in the catalog", { completes: "catalog" }) },
    flags: { force: toggle("-f, --force", "Fetch it again although it is here") },
    examples: ["banger kernel pull debian-6.12"],
  }),
  import: command({
    brief: "Take in a kernel built elsewhere",
    flags: {
      from: value(
        "--from <dir>",
        "Folder with vmlinux or vmlinuz, and optional initrd* and modules/",
        textArg,
        {
          completes: "path",
        },
      ),
      name: value("--name <name>", "Name of the kernel; default: the folder's", textArg),
      force: toggle("-f, --force", "Replace the one of that name"),
    },
    examples: ["banger kernel import --from ./linux-6.12 --name mine-6.12"],
  }),
  rm: command({
    brief: "Remove kernels",
    aliases: ["remove", "delete"],
    args: { kernels: some("Names of kernels", { completes: "kernel" }) },
    flags: { force: toggle("-f, --force", "Also if an image or machine uses it") },
    examples: ["banger kernel rm debian-6.12"],
  }),
});
