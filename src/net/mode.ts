/** Network modes of a machine. */
export type NetworkMode = "nat" | "host" | "user" | "none";

export function isTapMode(mode: NetworkMode): mode is "nat" | "host" {
  return mode === "nat" || mode === "host";
}
