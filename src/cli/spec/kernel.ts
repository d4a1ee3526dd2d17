import { archNames } from "#cli/args/arch.ts";
import { countArg, textArg } from "#cli/args/numbers.ts";
import { choice, command, group, one, optional, some, toggle, value } from "./types.ts";

const arches = archNames;

const publishDefaults =
  "Defaults: kernel.publish_to, kernel.publish_url, kernel.publish_catalog and kernel.publish_key of the configuration.";

const catalogFlags = {
  to: value("--to <dest>", "A folder, REMOTE:PATH of rclone, or s3://BUCKET/PREFIX", textArg),
  catalog: value("--catalog <file>", "The catalog file that is changed", textArg, {
    completes: "path",
  }),
  key: value("--key <file>", "Secret key to sign the catalog with afterwards", textArg, {
    completes: "path",
  }),
};

const catalogCommands = group("Catalogs of kernels: yours and other people's", {
  list: command({
    brief: "List catalogs",
    aliases: ["ls"],
    examples: ["banger kernel catalog list"],
  }),
  add: command({
    brief: "Add a catalog, a file or an https URL",
    args: { from: one("File, or URL of a signed catalog", { completes: "path" }) },
    details:
      "A catalog of a URL must be signed: FILE.minisig stands beside it, in minisign's format.",
    flags: {
      name: value("--name <name>", "Name of the catalog; default: from the address", textArg),
      key: value("--key <key>", "Its public key, or the file that holds it", textArg),
    },
    examples: [
      "banger kernel catalog add ./kernels.json --name mine",
      "banger kernel catalog add https://kernels.example/catalog.json --key RWQ…",
    ],
  }),
  rm: command({
    brief: "Remove catalogs; kernels that came from them stay",
    aliases: ["remove", "delete"],
    args: { catalogs: some("Names of catalogs") },
    examples: ["banger kernel catalog rm mine"],
  }),
  update: command({
    brief: "Fetch catalogs again",
    args: { catalog: optional("Name of the catalog; default: all") },
    examples: ["banger kernel catalog update"],
  }),
  schema: command({
    brief: "Print the JSON schema of a catalog",
    examples: ["banger kernel catalog schema"],
  }),
  keygen: command({
    brief: "Make a pair of keys to sign catalogs with",
    args: { file: one("File of the secret key; FILE.pub gets the public one") },
    examples: ["banger kernel catalog keygen ./catalog.key"],
  }),
  sign: command({
    brief: "Sign a catalog",
    args: { catalog: one("The file; FILE.minisig gets the signature", { completes: "path" }) },
    flags: {
      key: value("--key <file>", "Secret key", textArg, { completes: "path" }),
    },
    examples: ["banger kernel catalog sign kernels.json --key ./catalog.key"],
  }),
});

export const kernelCommands = group("Kernels: pull, build, import, publish", {
  list: command({
    brief: "List kernels",
    aliases: ["ls"],
    flags: {
      available: toggle("--available", "Those of the catalogs, which can be pulled or built"),
      all: toggle("--all", "With --available: those for other architectures as well"),
    },
    examples: ["banger kernel list", "banger kernel list --available"],
  }),
  show: command({
    brief: "Show one kernel",
    aliases: ["inspect"],
    args: { kernel: one("Name of the kernel", { completes: "kernel" }) },
    examples: ["banger kernel show debian-6.12"],
  }),
  pull: command({
    brief: "Download a kernel from a catalog, or build it where the catalog has a recipe",
    args: { kernel: one("Name in the catalog", { completes: "catalog" }) },
    flags: {
      force: toggle("-f, --force", "Download or build it again"),
      noBuild: toggle("--no-build", "Fail if the kernel has to be built"),
    },
    examples: ["banger kernel pull debian-6.12", "banger kernel pull generic-6.12"],
  }),
  build: command({
    brief: "Compile a kernel by a recipe",
    args: { recipe: one("Name of a recipe, or a file FILE.toml", { completes: "catalog" }) },
    details: "What was built of the same recipe, source and compiler is not compiled again.",
    flags: {
      arch: choice("--arch <arch>", "Architecture; default: this computer's", arches),
      name: value("--name <name>", "Name of the kernel; default: the recipe's", textArg),
      jobs: value(
        "-j, --jobs <count>",
        "Compilers at a time; default: one more than processors",
        countArg,
      ),
      force: toggle("-f, --force", "Compile although the result is here"),
    },
    examples: ["banger kernel build generic-6.12", "banger kernel build ./mine.toml --arch arm64"],
  }),
  import: command({
    brief: "Import a kernel built elsewhere",
    args: { name: optional("Name of the kernel; default: from its version") },
    flags: {
      from: value(
        "--from <path>",
        "Folder with vmlinux or vmlinuz, and optional initrd* and modules/; or a kernel file",
        textArg,
        {
          completes: "path",
        },
      ),
      name: value("--name <name>", "Same as NAME", textArg),
      distro: value("--distro <name>", "Distribution of the kernel; default: from NAME", textArg),
      arch: choice("--arch <arch>", "Architecture that the kernel must have", arches),
      force: toggle("-f, --force", "Replace the kernel of that name"),
    },
    examples: [
      "banger kernel import mine-6.12 --from ./linux-6.12",
      "banger kernel import generic-6.12 --from ./out --distro generic --arch x86_64",
    ],
  }),
  default: command({
    brief: "Show or choose the kernel of machines that name none",
    args: { kernel: optional("Name of the kernel", { completes: "kernel" }) },
    examples: ["banger kernel default", "banger kernel default generic-6.12"],
  }),
  publish: command({
    brief: "Upload a kernel, check what the world gets, and enter it in a catalog",
    args: { kernel: one("Name of the kernel", { completes: "kernel" }) },
    flags: {
      ...catalogFlags,
      url: value("--url <address>", "Public address of --to", textArg),
      description: value("--description <text>", "For the catalog", textArg),
    },
    details: publishDefaults,
    examples: [
      "banger kernel publish mine-6.12 --description 'Kernel of our team'",
      "banger kernel publish mine-6.12 --to r2:kernels --url https://kernels.example --catalog kernels.json",
    ],
  }),
  unpublish: command({
    brief: "Take a kernel out of a catalog, and its file away",
    args: { kernel: one("Name in the catalog") },
    flags: { ...catalogFlags, arch: choice("--arch <arch>", "Architecture of the entry", arches) },
    details: publishDefaults,
    examples: ["banger kernel unpublish mine-6.12 --to r2:kernels --catalog kernels.json"],
  }),
  catalog: catalogCommands,
  rm: command({
    brief: "Remove kernels",
    aliases: ["remove", "delete"],
    args: { kernels: some("Names of kernels", { completes: "kernel" }) },
    flags: { force: toggle("-f, --force", "Also if an image or machine uses it") },
    examples: ["banger kernel rm debian-6.12"],
  }),
});
