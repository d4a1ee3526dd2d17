/** The parts of a path; one that is no valid encoding, such as "100%", is what it says. */
export function partsOf(path: string): string[] {
  return path.split("/").filter(Boolean).map(decoded);
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
