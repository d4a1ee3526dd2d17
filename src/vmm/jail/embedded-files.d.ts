/** Imported `with { type: "file" }`: the import is its path. */
declare module "*/banger-jail" {
  const path: string;
  // biome-ignore lint/style/noDefaultExport: what an import of a file gives
  export default path;
}
