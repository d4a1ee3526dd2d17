/** Makes paths in image references absolute: the daemon has a different working directory. */
import { resolve } from "node:path";

const fileReference = /^(oci|oci-archive|docker-archive):(?!\/\/)(.+)$/s;

/** "oci:./dir:tag" with the path made absolute; every other reference as it is. */
export function absoluteReference(text: string, cwd = process.cwd()): string {
  const match = fileReference.exec(text);
  if (!match) return text;
  return `${match[1]}:${resolve(cwd, match[2] ?? "")}`;
}
