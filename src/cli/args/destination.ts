import { resolve } from "node:path";

/** A folder's path made absolute; REMOTE:PATH and s3://BUCKET as they are. */
export function absoluteDestination(text: string): string {
  return /^[^/.][^/]*:/.test(text) ? text : resolve(text);
}
