import { textArg } from "#cli/args/numbers.ts";
import { kernelFlags } from "./flags.ts";
import { choice, command, group, list, one, some, toggle, value } from "./types.ts";

export const imageCommands = group("Images: pull, make, list", {
  pull: command({
    brief: "Make an image of an OCI image",
    args: {
      reference: one("Reference, oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE", {
        completes: "path",
      }),
    },
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
      "banger image pull oci:./build/image:latest --name app",
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
    examples: ["banger image list", "banger image list --json"],
  }),
  show: command({
    brief: "Show one image",
    aliases: ["inspect"],
    args: { image: one("Name, reference or digest of the image", { completes: "image" }) },
    examples: ["banger image show debian-bookworm"],
  }),
  rm: command({
    brief: "Remove images",
    aliases: ["remove", "delete"],
    args: { images: some("Names, references or digests of images", { completes: "image" }) },
    examples: ["banger image rm debian-bookworm"],
  }),
});
