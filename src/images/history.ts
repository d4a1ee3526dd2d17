/** The build history of an image, with the layer of each step. */
import type { ImageStep } from "#api/image.ts";
import type { ImageLayer, ImageRecord } from "./records.ts";

/** Oldest first. Layers that an incomplete history does not mention come last. */
export function stepsOf(image: ImageRecord): ImageStep[] {
  const layers = [...image.layers];
  const steps = image.history.map(({ created, createdBy, comment, isEmptyLayer }) =>
    step({ created, createdBy, comment }, isEmptyLayer ? undefined : layers.shift()),
  );
  return [
    ...steps,
    ...layers.map((layer) => step({ created: "", createdBy: "", comment: "" }, layer)),
  ];
}

function step(text: Omit<ImageStep, "layer">, layer: ImageLayer | undefined): ImageStep {
  if (!layer) return text;
  const { digest, size_bytes, mediaType } = layer;
  return { ...text, layer: { digest, size_bytes, mediaType } };
}
