/** Files imported `with { type: "file" }`: the import is their path. */
declare module "*/banger-ui.pack" {
  const path: string;
  // biome-ignore lint/style/noDefaultExport: what an import of a file gives
  export default path;
}
