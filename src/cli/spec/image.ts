import { textArg } from "#cli/args/numbers.ts";
import { buildMachineFlags, kernelFlags } from "./flags.ts";
import { any, choice, command, group, list, one, optional, some, toggle, value } from "./types.ts";

const imageArg = "Name, reference or digest of the image";

export const imageCommands = group("Images: pull, make, list, share", {
  pull: command({
    brief: "Make an image of an OCI image",
    args: {
      reference: one("Name of the catalog, reference, or a source such as oci:DIR[:TAG]", {
        completes: "path",
      }),
    },
    details:
      "Sources: REGISTRY/NAME:TAG or @DIGEST, oci:DIR|FILE[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:REF], docker-daemon:REF and containers-storage:REF.",
    flags: {
      name: value("--name <name>", "Name of the image; default: from the reference", textArg),
      ...kernelFlags,
      platform: value(
        "--platform <os/arch>",
        "Such as linux/arm64; default: this computer's",
        textArg,
      ),
      force: toggle("-f, --force", "Pull again although it is here"),
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
    brief: "Build an image from a Dockerfile, or from another image",
    details:
      "Commands run in a machine that is thrown away. Steps that were built before are taken from the cache. FROM takes the name of an image that is here, a name of the catalog, or a reference.",
    args: {
      context: optional("Folder that COPY and ADD take files from", { completes: "path" }),
    },
    flags: {
      name: value(
        "-t, --name <name>",
        "Name of the image; default: from the directory, or IMAGE-work",
        textArg,
      ),
      file: value(
        "-f, --file <file>",
        "The Dockerfile, or - for standard input; default: that of the folder",
        textArg,
        { completes: "path" },
      ),
      fromImage: value("--from-image <image>", "Start from this image, and run a script", textArg, {
        completes: "image",
      }),
      script: value(
        "--script <file>",
        "Script to run; default: one that installs an init, ssh and common tools",
        textArg,
        {
          completes: "path",
        },
      ),
      target: value("--target <stage>", "Stop at this stage of the Dockerfile", textArg),
      secret: list(
        "--secret <id=id,src=file>",
        "Secret for RUN --mount=type=secret; env=NAME in place of src; may be repeated",
      ),
      ssh: list(
        "--ssh <id[=socket]>",
        "ssh agent for RUN --mount=type=ssh: default, or a socket; may be repeated",
      ),
      buildArg: list("--build-arg <name=value>", "Value of an ARG; may be repeated"),
      ...kernelFlags,
      ...buildMachineFlags,
      noCache: toggle("--no-cache", "Run every step again"),
      pull: toggle("--pull", "Look for newer images to begin with"),
    },
    examples: [
      "banger image build . --name app",
      "banger image build -f app.Dockerfile --target test --build-arg VERSION=2 ./src",
      "banger image build --from-image debian-bookworm",
      "banger image build --from-image debian-bookworm --script ./setup.sh --name work",
    ],
  }),
  bootstrap: command({
    brief: "Make an image of Debian packages, without a registry",
    args: { suite: one("Debian's release, such as bookworm") },
    flags: {
      name: value("--name <name>", "Name of the image", textArg),
      variant: choice("--variant <variant>", "How much is installed", [
        "minbase",
        "buildd",
        "important",
        "standard",
      ]),
      include: list("--include <package>", "Install this package too; may be repeated"),
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
    flags: { available: toggle("--available", "Those of the catalog, which can be pulled") },
    examples: ["banger image list", "banger image list --available"],
  }),
  show: command({
    brief: "Show one image",
    aliases: ["inspect"],
    args: { image: one(imageArg, { completes: "image" }) },
    examples: ["banger image show debian-bookworm"],
  }),
  history: command({
    brief: "Show how an image was made, and its layers",
    args: { image: one(imageArg, { completes: "image" }) },
    examples: ["banger image history debian-bookworm"],
  }),
  tag: command({
    brief: "Give an image a second name",
    details: "Both names live on their own, and the files are there once.",
    args: { image: one(imageArg, { completes: "image" }), name: one("The second name") },
    examples: ["banger image tag debian-bookworm stable"],
  }),
  register: command({
    brief: "Register files of your own as an image; they stay where they are",
    args: { name: optional("Name of the image") },
    flags: {
      name: value("--name <name>", "Same as NAME", textArg),
      rootfs: value("--rootfs <file>", "Its root file system: ext4", textArg, {
        completes: "path",
      }),
      kernel: value("--kernel <file>", "A vmlinux or bzImage that its machines boot", textArg, {
        completes: "path",
      }),
      kernelRef: value(
        "--kernel-ref <name>",
        "A kernel that is here, in place of a file",
        textArg,
        {
          completes: "kernel",
        },
      ),
      initrd: value("--initrd <file>", "An initrd that goes with the kernel file", textArg, {
        completes: "path",
      }),
      modules: value("--modules <dir>", "The kernel file's modules", textArg, {
        completes: "path",
      }),
      workSeed: value(
        "--work-seed <path>",
        "Folder, tar or ext4: the start of /root in new machines",
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
    brief: "Take in the files of images that were registered",
    args: { images: some("Names of images", { completes: "image" }) },
    flags: {
      link: toggle(
        "--link",
        "Give the rootfs a second name in place of a copy; do not write to it any more then",
      ),
    },
    examples: ["banger image promote mine"],
  }),
  outdated: command({
    brief: "Show which images have something newer in their registry",
    args: { images: any("Names of images; default: all", { completes: "image" }) },
    examples: ["banger image outdated", "banger image outdated debian-bookworm"],
  }),
  update: command({
    brief: "Pull images anew where their registry has something newer",
    details:
      "An image that was pulled by digest stays what it is. Machines stay on what they were made of.",
    args: { images: any("Names of images", { completes: "image" }) },
    flags: { all: toggle("--all", "Every image that is outdated") },
    examples: ["banger image update debian-bookworm", "banger image update --all"],
  }),
  push: command({
    brief: "Send an image to a registry, as one layer",
    args: {
      image: one(imageArg, { completes: "image" }),
      reference: one("Where to: REGISTRY/NAME:TAG"),
    },
    examples: ["banger image push mine registry.example/team/mine:v1"],
  }),
  save: command({
    brief: "Write an image to a folder or file, as one layer",
    args: { image: one(imageArg, { completes: "image" }) },
    flags: {
      oci: value(
        "--oci <path>",
        "An OCI layout: a folder, or a tar when it ends with .tar",
        textArg,
        {
          completes: "path",
        },
      ),
      docker: value("--docker <file>", "A tar for docker load", textArg, { completes: "path" }),
      force: toggle("-f, --force", "Replace a file that is there"),
    },
    examples: ["banger image save mine --oci mine.tar", "banger image save mine --docker mine.tar"],
  }),
  provision: command({
    brief: "Install an init system and an ssh server for the machines of images",
    details:
      "The first machine of an image that brings no systemd does that as well; machines that are made later start without installing. It is kept beside the image, which stays as it was pulled.",
    args: { images: some(imageArg, { completes: "image" }) },
    flags: { force: toggle("-f, --force", "Do it anew, for newer packages") },
    examples: ["banger image provision debian-bookworm"],
  }),
  du: command({
    brief: "Show what images take on disk",
    examples: ["banger image du", "banger image du --json"],
  }),
  gc: command({
    brief: "Free what no image refers to",
    flags: {
      all: toggle("--all", "Also the cached layers of images that are here"),
      dryRun: toggle("-n, --dry-run", "Remove nothing, and say what would be"),
    },
    examples: ["banger image gc", "banger image gc --dry-run"],
  }),
  rm: command({
    brief: "Remove images",
    aliases: ["remove", "delete"],
    args: { images: some("Names, references or digests of images", { completes: "image" }) },
    flags: {
      provisioned: toggle("--provisioned", "Only what was installed on them, and not the images"),
    },
    examples: ["banger image rm debian-bookworm", "banger image rm --provisioned debian-bookworm"],
  }),
});
