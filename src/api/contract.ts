/**
 * The contract: every procedure with its input, its answer and the errors it is known
 * to give. The daemon implements it, every client is derived from it, and the OpenAPI
 * document is generated from it. It has no behaviour and does no I/O.
 */

import { eventIterator } from "@orpc/contract";
import { z } from "zod";
import { fileContract } from "./contract-file.ts";
import { insideContract } from "./contract-inside.ts";
import { networkContract, policyContract, vmNetworkContract } from "./contract-network.ts";
import { sessionContract } from "./contract-session.ts";
import { snapshotContract, vmSnapshotContract } from "./contract-snapshot.ts";
import { systemContract } from "./contract-system.ts";
import { vmContract } from "./contract-vm.ts";
import { hostPath, queryFlag } from "./fields.ts";
import {
  image,
  imageBootstrap,
  imageBuild,
  imageCatalogEntry,
  imageExport,
  imageOutdated,
  imagePromote,
  imageProvision,
  imagePull,
  imagePush,
  imageRef,
  imageRegister,
  imageSave,
  imageStep,
  imageTag,
  imageUpdated,
} from "./image.ts";
import { imageGc, imageGcResult, imageUsage } from "./image-space.ts";
import {
  catalogEntry,
  kernel,
  kernelBuild,
  kernelCatalog,
  kernelCatalogAdd,
  kernelDefault,
  kernelImport,
  kernelKeyPair,
  kernelPublish,
  kernelPublished,
  kernelPull,
  kernelRef,
  kernelUnpublish,
} from "./kernel.ts";
import { vmVolumeContract, volumeContract } from "./mount/contract.ts";
import { BOOTS, CHANGES, DOWNLOADS, fails, nothing } from "./procedure.ts";
import { progress } from "./progress.ts";
import { secretContract } from "./secrets/contract.ts";
import { serveContract, tokenContract } from "./serve/contract.ts";
import { hostContract, uiContract } from "./ui/contract.ts";
import { workspaceContract } from "./workspace/contract.ts";

const byImage = z.object({ name: imageRef });

export const contract = {
  system: { ...systemContract, ...hostContract },
  kernel: {
    list: fails()
      .route({ method: "GET", path: "/kernels", summary: "List kernels" })
      .output(z.array(kernel)),
    available: fails()
      .route({ method: "GET", path: "/kernels/available", summary: "List available kernels" })
      .input(
        z.object({
          /** Those for other architectures as well. */
          all: queryFlag.optional(),
        }),
      )
      .output(z.array(catalogEntry)),
    show: fails("not_found")
      .route({ method: "GET", path: "/kernels/{name}", summary: "Show a kernel" })
      .input(z.object({ name: kernelRef }))
      .output(kernel),
    pull: fails(...DOWNLOADS)
      .route({ method: "POST", path: "/kernels/pull", summary: "Download a kernel from a catalog" })
      .input(kernelPull)
      .output(eventIterator(progress, kernel)),
    build: fails(...DOWNLOADS)
      .route({ method: "POST", path: "/kernels/build", summary: "Build a kernel from a recipe" })
      .input(kernelBuild)
      .output(eventIterator(progress, kernel)),
    publish: fails(...DOWNLOADS, "invalid_state")
      .route({
        method: "POST",
        path: "/kernels/{name}/publish",
        summary: "Upload a kernel and add it to a catalog",
      })
      .input(kernelPublish)
      .output(eventIterator(progress, kernelPublished)),
    unpublish: fails(...DOWNLOADS, "invalid_state")
      .route({
        method: "POST",
        path: "/kernels/{name}/unpublish",
        summary: "Remove a kernel from a catalog and delete its file",
      })
      .input(kernelUnpublish)
      .output(eventIterator(progress, kernelPublished)),
    default: fails()
      .route({
        method: "GET",
        path: "/kernels/default",
        summary: "Show the default kernel",
      })
      .output(kernelDefault),
    setDefault: fails("not_found")
      .route({ method: "PUT", path: "/kernels/default", summary: "Set the default kernel" })
      .input(z.object({ name: kernelRef }))
      .output(kernel),
    catalog: {
      list: fails()
        .route({ method: "GET", path: "/kernels/catalogs", summary: "List kernel catalogs" })
        .output(z.array(kernelCatalog)),
      add: fails(...DOWNLOADS)
        .route({ method: "POST", path: "/kernels/catalogs", summary: "Add a catalog" })
        .input(kernelCatalogAdd)
        .output(kernelCatalog),
      remove: fails("not_found")
        .route({ method: "DELETE", path: "/kernels/catalogs/{name}", summary: "Remove a catalog" })
        .input(z.object({ name: kernelRef }))
        .output(nothing),
      update: fails(...DOWNLOADS)
        .route({
          method: "POST",
          path: "/kernels/catalogs/{name}/update",
          summary: "Refresh a catalog",
        })
        .input(z.object({ name: kernelRef }))
        .output(kernelCatalog),
      schema: fails()
        .route({
          method: "GET",
          path: "/kernels/catalog-schema",
          summary: "Print the JSON Schema of catalogs",
        })
        .output(z.record(z.string(), z.unknown())),
      keygen: fails("already_exists")
        .route({ method: "POST", path: "/kernels/catalog-key", summary: "Generate a key pair" })
        .input(z.object({ path: hostPath }))
        .output(kernelKeyPair),
      sign: fails("not_found", "unsupported", "limit_exceeded")
        .route({ method: "POST", path: "/kernels/catalog-signature", summary: "Sign a catalog" })
        .input(z.object({ catalog: hostPath, key: hostPath }))
        .output(z.object({ signature: z.string() })),
    },
    import: fails("not_found", "already_exists", "conflict", "unsupported", "limit_exceeded")
      .route({
        method: "POST",
        path: "/kernels/import",
        summary: "Import a kernel that was built elsewhere",
      })
      .input(kernelImport)
      .output(eventIterator(progress, kernel)),
    remove: fails("not_found", "invalid_state", "conflict")
      .route({ method: "DELETE", path: "/kernels/{name}", summary: "Remove a kernel" })
      .input(z.object({ name: kernelRef, force: z.boolean().optional() }))
      .output(nothing),
  },
  image: {
    list: fails()
      .route({ method: "GET", path: "/images", summary: "List images" })
      .output(z.array(image)),
    available: fails()
      .route({ method: "GET", path: "/images/catalog", summary: "List images in the catalog" })
      .output(z.array(imageCatalogEntry)),
    usage: fails()
      .route({ method: "GET", path: "/images/usage", summary: "Show disk usage of images" })
      .output(imageUsage),
    show: fails("not_found")
      .route({ method: "GET", path: "/images/{name}", summary: "Show an image" })
      .input(byImage)
      .output(image),
    history: fails("not_found")
      .route({
        method: "GET",
        path: "/images/{name}/history",
        summary: "Show the history of an image",
      })
      .input(byImage)
      .output(z.array(imageStep)),
    pull: fails(...DOWNLOADS, "invalid_state", "guest")
      .route({ method: "POST", path: "/images/pull", summary: "Pull an OCI image" })
      .input(imagePull)
      .output(eventIterator(progress, image)),
    build: fails(...DOWNLOADS, "invalid_state", "guest")
      .route({ method: "POST", path: "/images/build", summary: "Build an image" })
      .input(imageBuild)
      .output(eventIterator(progress, image)),
    bootstrap: fails("not_found", "already_exists", "unsupported", "limit_exceeded", "timeout")
      .route({
        method: "POST",
        path: "/images/bootstrap",
        summary: "Create an image from Debian packages",
      })
      .input(imageBootstrap)
      .output(eventIterator(progress, image)),
    register: fails(
      "already_exists",
      "not_found",
      "invalid_state",
      "conflict",
      "unsupported",
      "limit_exceeded",
    )
      .route({
        method: "POST",
        path: "/images/register",
        summary: "Register local files as an image",
      })
      .input(imageRegister)
      .output(eventIterator(progress, image)),
    promote: fails("not_found", "invalid_state", "conflict", "unsupported", "limit_exceeded")
      .route({
        method: "POST",
        path: "/images/{name}/promote",
        summary: "Copy a registered image into the store",
      })
      .input(imagePromote)
      .output(eventIterator(progress, image)),
    tag: fails("not_found", "already_exists")
      .route({
        method: "POST",
        path: "/images/{name}/tag",
        summary: "Create another name for an image",
      })
      .input(imageTag)
      .output(image),
    outdated: fails("not_found")
      .route({
        method: "POST",
        path: "/images/outdated",
        summary: "Check the registry for a newer version",
      })
      .input(z.object({ names: z.array(imageRef).max(1000).optional() }))
      .output(z.array(imageOutdated)),
    update: fails(...DOWNLOADS, "invalid_state", "guest")
      .route({
        method: "POST",
        path: "/images/{name}/update",
        summary: "Pull a newer version of an image",
      })
      .input(byImage)
      .output(eventIterator(progress, imageUpdated)),
    push: fails(...DOWNLOADS, "invalid_state")
      .route({
        method: "POST",
        path: "/images/{name}/push",
        summary: "Push an image to a registry",
      })
      .input(imagePush)
      .output(eventIterator(progress, imageExport)),
    save: fails("not_found", "already_exists", "invalid_state", "unsupported", "limit_exceeded")
      .route({
        method: "POST",
        path: "/images/{name}/save",
        summary: "Save an image to a directory or archive",
      })
      .input(imageSave)
      .output(eventIterator(progress, imageExport)),
    provision: fails(...CHANGES, ...BOOTS, ...DOWNLOADS)
      .route({
        method: "POST",
        path: "/images/{name}/provision",
        summary: "Install an init system and ssh server into an image",
      })
      .input(imageProvision)
      .output(eventIterator(progress, image)),
    unprovision: fails("not_found")
      .route({
        method: "DELETE",
        path: "/images/{name}/provision",
        summary: "Remove the provisioned layers of an image",
      })
      .input(byImage)
      .output(nothing),
    gc: fails("conflict")
      .route({ method: "POST", path: "/images/gc", summary: "Remove unreferenced image data" })
      .input(imageGc)
      .output(imageGcResult),
    remove: fails("not_found", "invalid_state", "conflict")
      .route({ method: "DELETE", path: "/images/{name}", summary: "Remove an image" })
      .input(byImage)
      .output(nothing),
  },
  network: networkContract,
  policy: policyContract,
  volume: volumeContract,
  vm: { ...vmContract, ...vmNetworkContract, ...vmSnapshotContract, ...vmVolumeContract },
  snapshot: snapshotContract,
  file: fileContract,
  session: sessionContract,
  inside: insideContract,
  workspace: workspaceContract,
  secret: secretContract,
  token: tokenContract,
  serve: serveContract,
  ui: uiContract,
};
