/** Files imported `with { type: "file" }`: the import is their path. */
declare module "*/banger-vsock-agent" {
  const path: string;
  // biome-ignore lint/style/noDefaultExport: what an import of a file gives
  export default path;
}

declare module "*/banger-share" {
  const path: string;
  // biome-ignore lint/style/noDefaultExport: what an import of a file gives
  export default path;
}

declare module "*.sh" {
  const path: string;
  // biome-ignore lint/style/noDefaultExport: what an import of a file gives
  export default path;
}
