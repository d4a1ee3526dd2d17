/** The files of a machine: browse, view and edit text, upload, download, remove. */
import { useSignal } from "@preact/signals";
import type { DirectoryEntry } from "#api/file.ts";
import type { Vm } from "#api/vm.ts";
import { daemon } from "#web/link/daemon.ts";
import { runTask } from "#web/link/tasks.ts";
import { Button } from "#web/parts/button.tsx";
import { confirm } from "#web/parts/dialog.tsx";
import { permissions, size } from "#web/parts/format.ts";
import { useLoad } from "#web/parts/load.ts";
import { Menu } from "#web/parts/menu.tsx";
import { Table } from "#web/parts/table.tsx";
import { Trouble } from "#web/parts/trouble.tsx";
import { visibleName } from "#web/parts/visible.ts";
import { Editor } from "./editor.tsx";
import { download, upload } from "./transfer.ts";

export function FilesTab({ vm }: { vm: Vm }) {
  const folder = useSignal("/");
  const open = useSignal<string | undefined>(undefined);
  const isOver = useSignal(false);
  const { value, failure, reload } = useLoad(
    (signal) => daemon.file.list({ name: vm.id, path: folder.value }, { signal }),
    [vm.id, folder.value],
  );
  const take = async (given: FileList | null | undefined): Promise<void> => {
    // Where they were dropped, whatever is opened meanwhile.
    const to = folder.value;
    const files = [...(given ?? [])];
    const names = new Set((value ?? []).map(({ name }) => name));
    const taken = files.map(({ name }) => name).filter((name) => names.has(name));
    if (taken.length > 0 && !(await mayReplace(taken, to))) return;
    for (const file of files) await upload(vm, join(to, file.name), file);
    reload();
  };
  if (open.value !== undefined) {
    return (
      <Editor
        vm={vm}
        path={open.value}
        onClose={() => {
          open.value = undefined;
          reload();
        }}
      />
    );
  }
  const go = (path: string) => {
    folder.value = path;
  };
  return (
    <section
      class={isOver.value ? "drop over" : "drop"}
      aria-label={`Files in ${visibleName(folder.value)}`}
      onDragOver={(event) => {
        event.preventDefault();
        isOver.value = true;
      }}
      onDragLeave={() => {
        isOver.value = false;
      }}
      onDrop={(event) => {
        event.preventDefault();
        isOver.value = false;
        void take(event.dataTransfer?.files);
      }}
    >
      <div class="toolbar">
        <Crumbs path={folder.value} onGo={go} />
        <label class="button">
          Upload
          <input
            type="file"
            multiple
            class="hidden"
            onChange={({ currentTarget }) => {
              void take(currentTarget.files);
              // So that the same file can be chosen once more.
              currentTarget.value = "";
            }}
          />
        </label>
        <Button onClick={reload}>Reload</Button>
      </div>
      {failure && <Trouble failure={failure} onRetry={reload} />}
      {value && (
        <Listing
          entries={value}
          onOpen={(entry) => {
            const path = join(folder.value, entry.name);
            if (isFolder(entry)) go(path);
            else open.value = path;
          }}
          menuOf={(entry) => [
            {
              label: "Download",
              isDisabled: entry.kind !== "file",
              onSelect: () => void download(vm, join(folder.value, entry.name), entry.size_bytes),
            },
            {
              label: "Remove…",
              isDanger: true,
              onSelect: () => void remove(vm, join(folder.value, entry.name)).then(reload),
            },
          ]}
        />
      )}
      <p class="dim">Drop files here to upload them into {visibleName(folder.value)}.</p>
    </section>
  );
}

interface ListingProps {
  entries: readonly DirectoryEntry[];
  onOpen: (entry: DirectoryEntry) => void;
  menuOf: (entry: DirectoryEntry) => { label: string; onSelect: () => void }[];
}

function Listing({ entries, onOpen, menuOf }: ListingProps) {
  const sorted = entries.toSorted(
    (a, b) => Number(isFolder(b)) - Number(isFolder(a)) || (a.name < b.name ? -1 : 1),
  );
  return (
    <Table
      caption="Files"
      columns={[
        "Name",
        "Size",
        { label: "Mode", isWide: true },
        { label: "Changed", isWide: true },
      ]}
      hasActions
    >
      {sorted.map((entry) => (
        <tr key={entry.name}>
          <td class="mono wrap">
            <button type="button" class="link" onClick={() => onOpen(entry)}>
              {visibleName(entry.name)}
              {isFolder(entry) ? "/" : ""}
            </button>
            {entry.target && <span class="dim"> → {visibleName(entry.target)}</span>}
          </td>
          <td class="number">{entry.kind === "file" ? size(entry.size_bytes) : ""}</td>
          <td class="mono dim wide-only">{permissions(entry.mode)}</td>
          <td class="dim wide-only">{new Date(entry.modifiedAt).toLocaleString()}</td>
          <td class="end">
            <Menu label={`Actions for ${visibleName(entry.name)}`} items={menuOf(entry)} />
          </td>
        </tr>
      ))}
    </Table>
  );
}

function Crumbs({ path, onGo }: { path: string; onGo: (path: string) => void }) {
  const parts = path.split("/").filter(Boolean);
  return (
    <nav class="crumbs mono" aria-label="Directory">
      <button type="button" class="link" onClick={() => onGo("/")}>
        /
      </button>
      {parts.map((part, index) => {
        const to = `/${parts.slice(0, index + 1).join("/")}`;
        return (
          <button key={to} type="button" class="link" onClick={() => onGo(to)}>
            {visibleName(part)}/
          </button>
        );
      })}
    </nav>
  );
}

async function mayReplace(names: readonly string[], folder: string): Promise<boolean> {
  const what = names.length === 1 ? visibleName(names[0] ?? "") : `${names.length} files`;
  return await confirm(`Replace ${what} in ${visibleName(folder)}?`, {
    body: names.length === 1 ? "" : names.map(visibleName).join(", "),
    confirm: "Replace",
    isDanger: true,
  });
}

async function remove(vm: Vm, path: string): Promise<void> {
  const label = `Remove ${visibleName(path)}`;
  const isSure = await confirm(`${label}?`, {
    body: "A directory is removed with all that is in it.",
    confirm: "Remove",
    isDanger: true,
  });
  if (!isSure) return;
  await runTask(label, () => daemon.file.remove({ name: vm.id, path, recursive: true }));
}

function isFolder({ kind, target }: DirectoryEntry): boolean {
  // Where a symlink leads is not known before it is opened: those of /bin and its like are directories.
  return kind === "directory" || (kind === "symlink" && /^(usr\/|\/?usr\/)/.test(target ?? ""));
}

function join(folder: string, name: string): string {
  return folder === "/" ? `/${name}` : `${folder}/${name}`;
}
