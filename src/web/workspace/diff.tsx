/** Patches, file by file. */
import type { WorkspacePatch } from "#api/workspace/workspace.ts";
import { visible, visibleName } from "#web/parts/visible.ts";
import { type PatchFile, parsePatch } from "./patch.ts";

/** Of a file; a page with more is slow, and nobody reads it. */
const LINES_MAX = 2000;
const OPEN_FILES_MAX = 20;

export function Diff({ patches }: { patches: readonly WorkspacePatch[] }) {
  const files = patches.flatMap(({ path, patch }) =>
    parsePatch(patch).map((file) => ({
      ...file,
      name: path === "" ? file.name : `${path}/${file.name}`,
    })),
  );
  if (files.length === 0) return <p class="dim">No changes.</p>;
  const added = files.reduce((sum, each) => sum + each.added, 0);
  const removed = files.reduce((sum, each) => sum + each.removed, 0);
  return (
    <>
      <p class="dim">
        {files.length} {files.length === 1 ? "file" : "files"}, <span class="ok">+{added}</span>{" "}
        <span class="bad">−{removed}</span>
      </p>
      {files.map((file, index) => (
        <FileDiff key={`${index}${file.name}`} file={file} isOpen={index < OPEN_FILES_MAX} />
      ))}
    </>
  );
}

function FileDiff({ file, isOpen }: { file: PatchFile; isOpen: boolean }) {
  const { name, added, removed, isBinary, head, lines } = file;
  const about = head.filter((line) =>
    /^(new file|deleted file|old mode|new mode|rename from|copy from)/.test(line),
  );
  return (
    <details class="diff-file" open={isOpen}>
      <summary>
        <span class="mono wrap">{visibleName(name)}</span> <span class="ok">+{added}</span>{" "}
        <span class="bad">−{removed}</span>
      </summary>
      {about.length > 0 && <p class="dim mono wrap">{about.map(visibleName).join(", ")}</p>}
      {isBinary && <p class="dim">Binary file.</p>}
      {lines.length > 0 && (
        <pre class="diff" role="group" tabIndex={0} aria-label={`Changes of ${visibleName(name)}`}>
          {lines.slice(0, LINES_MAX).map(({ kind, text }, index) => (
            <span key={index} class={`diff-line ${kind}`}>
              {visible(text)}
              {"\n"}
            </span>
          ))}
        </pre>
      )}
      {lines.length > LINES_MAX && (
        <p class="dim">{lines.length - LINES_MAX} more lines: export the patch to see them.</p>
      )}
    </details>
  );
}
