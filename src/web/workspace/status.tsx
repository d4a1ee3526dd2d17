import type { WorkspaceStatus } from "#api/workspace/workspace.ts";
import type { Failure } from "#web/link/failure.ts";
import { Trouble } from "#web/parts/trouble.tsx";
import { visibleName } from "#web/parts/visible.ts";

interface StatusProps {
  status: WorkspaceStatus | undefined;
  failure: Failure | undefined;
  onRetry: () => void;
}

export function Status({ status, failure, onRetry }: StatusProps) {
  return (
    <section class="block" aria-label="Status">
      <h2>Status</h2>
      {failure && <Trouble failure={failure} onRetry={onRetry} />}
      {!status && !failure && <p class="dim">Loading…</p>}
      {status?.kind === "folder" && (
        <Changes changes={status.changes.map(({ status: mark, path }) => ({ mark, path }))} />
      )}
      {status?.kind === "repository" &&
        status.repositories.map(({ path, branch, head, changes }) => (
          <div key={path}>
            {path !== "" && <h3 class="mono wrap">{visibleName(path)}</h3>}
            <p>
              <strong class="mono wrap">
                {visibleName(branch?.replace(/^refs\/heads\//, "") ?? "detached")}
              </strong>{" "}
              <span class="mono dim">{head?.slice(0, 12) ?? "no commit"}</span>
            </p>
            <Changes
              changes={changes.map(({ staged, unstaged, path: name, from }) => ({
                mark: `${staged}${unstaged}`,
                path: from === undefined ? name : `${from} → ${name}`,
              }))}
            />
          </div>
        ))}
    </section>
  );
}

const SHOWN_MAX = 500;

function Changes({ changes }: { changes: readonly { mark: string; path: string }[] }) {
  if (changes.length === 0) return <p class="dim">Nothing has changed.</p>;
  return (
    <>
      <ul class="changes">
        {changes.slice(0, SHOWN_MAX).map(({ mark, path }) => (
          <li key={path} class="mono wrap">
            <span class={`change-mark ${/D/.test(mark) ? "bad" : "ok"}`}>{mark}</span>
            {visibleName(path)}
          </li>
        ))}
      </ul>
      {changes.length > SHOWN_MAX && <p class="dim">{changes.length - SHOWN_MAX} more.</p>}
    </>
  );
}
