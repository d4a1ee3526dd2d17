/** Parses architecture names. */
const names = { amd64: "amd64", x86_64: "amd64", arm64: "arm64", aarch64: "arm64" } as const;

export type ArchName = keyof typeof names;
export const archNames = Object.keys(names) as ArchName[];

/** "x86_64" is amd64, "aarch64" is arm64. */
export function archOf(name: ArchName | undefined): "amd64" | "arm64" | undefined {
  return name && names[name];
}
