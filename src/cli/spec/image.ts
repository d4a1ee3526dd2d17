import { textArg } from "#cli/args/numbers.ts";
import { buildMachineFlags, kernelFlags } from "./flags.ts";
import { any, choice, command, group, list, one, optional, some, toggle, value } from "./types.ts";

const imageArg = "Image name, reference or digest";

export const imageCommands = group("Manage images", {
  pull: command({
    brief: "Pull an OCI image",
    args: {
      reference: one("Catalog name, image reference, or a source such as oci:DIR[:TAG]", {
        completes: "path",
      }),
    },
    details:
      "Sources: REGISTRY/NAME:TAG or @DIGEST, oci:DIR|FILE[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:REF], docker-daemon:REF and containers-storage:REF.",
    flags: {
      name: value(
        "--name <name>",
        "Name of the image (default: derived from the reference)",
        textArg,
      ),
      ...kernelFlags,
      platform: value(
        "--platform <os/arch>",
        "Platform, such as linux/arm64 (default: the host's)",
        textArg,
      ),
      force: toggle("-f, --force", "Pull again even if the image exists"),
    },
    examples: [
      "banger image pull docker.io/library/debian:bookworm --kernel-ref debian-6.12",
      "banger image pull 127.0.0.1:5000/team/app@sha256:…",
      "banger image pull debian",
      "banger image pull oci:./build/image:latest --name app",
      "banger image pull docker-daemon:app:latest",
    ],
  }),
  build: command({
    brief: "Build an image from a Dockerfile, or from an image and a script",
    details:
      "RUN steps execute in a temporary machine. Unchanged steps come from the cache. FROM accepts the name of a local image, a catalog name, or a reference.",
    args: {
      context: optional("Build context: the directory that COPY and ADD read from", {
        completes: "path",
      }),
    },
    flags: {
      name: value(
        "-t, --name <name>",
        "Name of the image (default: the directory's name, or IMAGE-work)",
        textArg,
      ),
      file: value(
        "-f, --file <file>",
        "Dockerfile, or - for stdin (default: Dockerfile in the context)",
        textArg,
        { completes: "path" },
      ),
      fromImage: value(
        "--from-image <image>",
        "Build from this image and a script, without a Dockerfile",
        textArg,
        {
          completes: "image",
        },
      ),
      script: value(
        "--script <file>",
        "Script to run (default: installs an init system, ssh and common tools)",
        textArg,
        {
          completes: "path",
        },
      ),
      target: value("--target <stage>", "Build stage to stop at", textArg),
      secret: list(
        "--secret <id=id,src=file>",
        "Secret for RUN --mount=type=secret, from a file or env=NAME; repeatable",
      ),
      ssh: list("--ssh <id[=socket]>", "SSH agent socket for RUN --mount=type=ssh; repeatable"),
      buildArg: list("--build-arg <name=value>", "Set a build argument (ARG); repeatable"),
      ...kernelFlags,
      ...buildMachineFlags,
      noCache: toggle("--no-cache", "Do not use the build cache"),
      pull: toggle("--pull", "Always check for newer base images"),
    },
    examples: [
      "banger image build . --name app",
      "banger image build -f app.Dockerfile --target test --build-arg VERSION=2 ./src",
      "banger image build --from-image debian-bookworm",
      "banger image build --from-image debian-bookworm --script ./setup.sh --name work",
    ],
  }),
  bootstrap: command({
    brief: "Create a Debian image from packages, without a registry",
    args: { suite: one("Debian release, such as bookworm") },
    flags: {
      name: value("--name <name>", "Name of the image", textArg),
      variant: choice("--variant <variant>", "Package set to install", [
        "minbase",
        "buildd",
        "important",
        "standard",
      ]),
      include: list("--include <package>", "Additional package to install; repeatable"),
      ...kernelFlags,
    },
    examples: [
      "banger image bootstrap bookworm",
      "banger image bootstrap bookworm --include systemd-sysv --include openssh-server",
    ],
  }),
  list: command({
    brief: "List images",
    aliases: ["ls"],
    flags: { available: toggle("--available", "List images in the catalog that can be pulled") },
    examples: ["banger image list", "banger image list --available"],
  }),
  show: command({
    brief: "Show details of an image",
    aliases: ["inspect"],
    args: { image: one(imageArg, { completes: "image" }) },
    examples: ["banger image show debian-bookworm"],
  }),
  history: command({
    brief: "Show the layers of an image and how it was built",
    args: { image: one(imageArg, { completes: "image" }) },
    examples: ["banger image history debian-bookworm"],
  }),
  tag: command({
    brief: "Create another name for an image",
    details: "The names are independent; the data is stored once.",
    args: { image: one(imageArg, { completes: "image" }), name: one("New name") },
    examples: ["banger image tag debian-bookworm stable"],
  }),
  register: command({
    brief: "Register local files as an image, without copying them",
    args: { name: optional("Name of the image") },
    flags: {
      name: value("--name <name>", "Same as NAME", textArg),
      rootfs: value("--rootfs <file>", "Root file system, an ext4 image", textArg, {
        completes: "path",
      }),
      kernel: value("--kernel <file>", "Kernel file to boot, vmlinux or bzImage", textArg, {
        completes: "path",
      }),
      kernelRef: value(
        "--kernel-ref <name>",
        "Installed kernel to boot, instead of a file",
        textArg,
        {
          completes: "kernel",
        },
      ),
      initrd: value("--initrd <file>", "Initrd for --kernel", textArg, {
        completes: "path",
      }),
      modules: value("--modules <dir>", "Directory of modules for --kernel", textArg, {
        completes: "path",
      }),
      workSeed: value(
        "--work-seed <path>",
        "Initial contents of /root in new machines: a directory, tar or ext4 image",
        textArg,
        { completes: "path" },
      ),
    },
    examples: [
      "banger image register mine --rootfs ./rootfs.ext4 --kernel-ref debian-6.12",
      "banger image register --name mine --rootfs ./rootfs.ext4 --kernel ./vmlinux --work-seed ./home",
    ],
  }),
  promote: command({
    brief: "Copy registered images into the store",
    args: { images: some("Names of images", { completes: "image" }) },
    flags: {
      link: toggle(
        "--link",
        "Hard-link the root file system instead of copying it; do not modify it afterwards",
      ),
    },
    examples: ["banger image promote mine"],
  }),
  outdated: command({
    brief: "List images that have a newer version in their registry",
    args: { images: any("Images to check (default: all)", { completes: "image" }) },
    examples: ["banger image outdated", "banger image outdated debian-bookworm"],
  }),
  update: command({
    brief: "Pull newer versions of images",
    details:
      "Images that were pulled by digest are not updated. Existing machines keep the version they were created from.",
    args: { images: any("Images to update", { completes: "image" }) },
    flags: { all: toggle("--all", "Update all outdated images") },
    examples: ["banger image update debian-bookworm", "banger image update --all"],
  }),
  push: command({
    brief: "Push an image to a registry, as one layer",
    args: {
      image: one(imageArg, { completes: "image" }),
      reference: one("Destination: REGISTRY/NAME:TAG"),
    },
    examples: ["banger image push mine registry.example/team/mine:v1"],
  }),
  save: command({
    brief: "Save an image to a directory or archive, as one layer",
    args: { image: one(imageArg, { completes: "image" }) },
    flags: {
      oci: value(
        "--oci <path>",
        "Write an OCI layout: a directory, or an archive if PATH ends in .tar",
        textArg,
        {
          completes: "path",
        },
      ),
      docker: value("--docker <file>", "Write an archive for docker load", textArg, {
        completes: "path",
      }),
      force: toggle("-f, --force", "Overwrite an existing file"),
    },
    examples: ["banger image save mine --oci mine.tar", "banger image save mine --docker mine.tar"],
  }),
  provision: command({
    brief: "Install an init system and ssh server into images",
    details:
      "Otherwise the first machine of an image without systemd does this on its first boot. The result is stored beside the image, which itself does not change.",
    args: { images: some(imageArg, { completes: "image" }) },
    flags: { force: toggle("-f, --force", "Install again, to get newer packages") },
    examples: ["banger image provision debian-bookworm"],
  }),
  du: command({
    brief: "Show disk usage of images",
    examples: ["banger image du", "banger image du --json"],
  }),
  gc: command({
    brief: "Remove unreferenced image data",
    flags: {
      all: toggle("--all", "Also remove cached layers of existing images"),
      dryRun: toggle("-n, --dry-run", "Print what would be removed, without removing it"),
    },
    examples: ["banger image gc", "banger image gc --dry-run"],
  }),
  rm: command({
    brief: "Remove one or more images",
    aliases: ["remove", "delete"],
    args: { images: some("Image names, references or digests", { completes: "image" }) },
    flags: {
      provisioned: toggle("--provisioned", "Remove only the provisioned layers, not the images"),
    },
    examples: ["banger image rm debian-bookworm", "banger image rm --provisioned debian-bookworm"],
  }),
});
