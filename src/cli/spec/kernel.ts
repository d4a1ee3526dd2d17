import { archNames } from "#cli/args/arch.ts";
import { countArg, textArg } from "#cli/args/numbers.ts";
import { choice, command, group, one, optional, some, toggle, value } from "./types.ts";

const arches = archNames;

const publishDefaults =
  "Defaults come from kernel.publish_to, kernel.publish_url, kernel.publish_catalog and kernel.publish_key in the configuration.";

const catalogFlags = {
  to: value(
    "--to <dest>",
    "Destination: a directory, REMOTE:PATH for rclone, or s3://BUCKET/PREFIX",
    textArg,
  ),
  catalog: value("--catalog <file>", "Catalog file to update", textArg, {
    completes: "path",
  }),
  key: value("--key <file>", "Secret key to sign the catalog with", textArg, {
    completes: "path",
  }),
};

const catalogCommands = group("Manage kernel catalogs", {
  list: command({
    brief: "List catalogs",
    aliases: ["ls"],
    examples: ["banger kernel catalog list"],
  }),
  add: command({
    brief: "Add a catalog from a file or an https URL",
    args: { from: one("File, or URL of a signed catalog", { completes: "path" }) },
    details:
      "A catalog at a URL must be signed with minisign: its signature is fetched from URL.minisig.",
    flags: {
      name: value(
        "--name <name>",
        "Name of the catalog (default: derived from the address)",
        textArg,
      ),
      key: value("--key <key>", "Public key, or a file that contains it", textArg),
    },
    examples: [
      "banger kernel catalog add ./kernels.json --name mine",
      "banger kernel catalog add https://kernels.example/catalog.json --key RWQ…",
    ],
  }),
  rm: command({
    brief: "Remove catalogs; installed kernels are kept",
    aliases: ["remove", "delete"],
    args: { catalogs: some("Names of catalogs") },
    examples: ["banger kernel catalog rm mine"],
  }),
  update: command({
    brief: "Refresh catalogs",
    args: { catalog: optional("Catalog to refresh (default: all)") },
    examples: ["banger kernel catalog update"],
  }),
  schema: command({
    brief: "Print the JSON schema of catalogs",
    examples: ["banger kernel catalog schema"],
  }),
  keygen: command({
    brief: "Generate a key pair for signing catalogs",
    args: { file: one("Secret key file to write; the public key goes to FILE.pub") },
    examples: ["banger kernel catalog keygen ./catalog.key"],
  }),
  sign: command({
    brief: "Sign a catalog",
    args: {
      catalog: one("Catalog file; the signature goes to FILE.minisig", { completes: "path" }),
    },
    flags: {
      key: value("--key <file>", "Secret key", textArg, { completes: "path" }),
    },
    examples: ["banger kernel catalog sign kernels.json --key ./catalog.key"],
  }),
});

export const kernelCommands = group("Manage kernels", {
  list: command({
    brief: "List kernels",
    aliases: ["ls"],
    flags: {
      available: toggle("--available", "List kernels in the catalogs that can be pulled or built"),
      all: toggle("--all", "With --available, include other architectures"),
    },
    examples: ["banger kernel list", "banger kernel list --available"],
  }),
  show: command({
    brief: "Show details of a kernel",
    aliases: ["inspect"],
    args: { kernel: one("Name of the kernel", { completes: "kernel" }) },
    examples: ["banger kernel show debian-6.12"],
  }),
  pull: command({
    brief: "Download a kernel from a catalog, or build it from the catalog's recipe",
    args: { kernel: one("Name in the catalog", { completes: "catalog" }) },
    flags: {
      force: toggle("-f, --force", "Download or build it again"),
      noBuild: toggle("--no-build", "Fail if the kernel would have to be built"),
    },
    examples: ["banger kernel pull debian-6.12", "banger kernel pull generic-6.12"],
  }),
  build: command({
    brief: "Build a kernel from a recipe",
    args: { recipe: one("Recipe name, or a recipe file FILE.toml", { completes: "catalog" }) },
    details: "A previous build of the same recipe, source and compiler is reused.",
    flags: {
      arch: choice("--arch <arch>", "Target architecture (default: the host's)", arches),
      name: value("--name <name>", "Name of the kernel (default: the recipe's)", textArg),
      jobs: value("-j, --jobs <count>", "Number of parallel jobs (default: CPUs + 1)", countArg),
      force: toggle("-f, --force", "Build again even if the result exists"),
    },
    examples: ["banger kernel build generic-6.12", "banger kernel build ./mine.toml --arch arm64"],
  }),
  import: command({
    brief: "Import a kernel that was built elsewhere",
    args: { name: optional("Name of the kernel (default: derived from its version)") },
    flags: {
      from: value(
        "--from <path>",
        "Kernel file, or a directory with vmlinux or vmlinuz and optional initrd* and modules/",
        textArg,
        {
          completes: "path",
        },
      ),
      name: value("--name <name>", "Same as NAME", textArg),
      distro: value(
        "--distro <name>",
        "Distribution of the kernel (default: derived from NAME)",
        textArg,
      ),
      arch: choice("--arch <arch>", "Expected architecture", arches),
      force: toggle("-f, --force", "Replace an existing kernel of the same name"),
    },
    examples: [
      "banger kernel import mine-6.12 --from ./linux-6.12",
      "banger kernel import generic-6.12 --from ./out --distro generic --arch x86_64",
    ],
  }),
  default: command({
    brief: "Show or set the default kernel",
    args: { kernel: optional("Name of the kernel", { completes: "kernel" }) },
    examples: ["banger kernel default", "banger kernel default generic-6.12"],
  }),
  publish: command({
    brief: "Upload a kernel, verify the download, and add it to a catalog",
    args: { kernel: one("Name of the kernel", { completes: "kernel" }) },
    flags: {
      ...catalogFlags,
      url: value("--url <address>", "Public URL of --to", textArg),
      description: value("--description <text>", "Description for the catalog", textArg),
    },
    details: publishDefaults,
    examples: [
      "banger kernel publish mine-6.12 --description 'Kernel of our team'",
      "banger kernel publish mine-6.12 --to r2:kernels --url https://kernels.example --catalog kernels.json",
    ],
  }),
  unpublish: command({
    brief: "Remove a kernel from a catalog and delete its file",
    args: { kernel: one("Name in the catalog") },
    flags: {
      ...catalogFlags,
      arch: choice("--arch <arch>", "Architecture of the catalog entry", arches),
    },
    details: publishDefaults,
    examples: ["banger kernel unpublish mine-6.12 --to r2:kernels --catalog kernels.json"],
  }),
  catalog: catalogCommands,
  rm: command({
    brief: "Remove one or more kernels",
    aliases: ["remove", "delete"],
    args: { kernels: some("Names of kernels", { completes: "kernel" }) },
    flags: { force: toggle("-f, --force", "Remove even if an image or machine uses it") },
    examples: ["banger kernel rm debian-6.12"],
  }),
});
