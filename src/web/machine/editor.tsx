/** A text file of a machine: viewed, and changed. */
import { useState } from "preact/hooks";
import type { Vm } from "#api/vm.ts";
import { daemon } from "#web/link/daemon.ts";
import { runTask } from "#web/link/tasks.ts";
import { Button } from "#web/parts/button.tsx";
import { confirm } from "#web/parts/dialog.tsx";
import { size } from "#web/parts/format.ts";
import { useLoad } from "#web/parts/load.ts";
import { Trouble } from "#web/parts/trouble.tsx";
import { visibleName } from "#web/parts/visible.ts";
import { download, fromBase64, toBase64 } from "./transfer.ts";

/** A procedure reads and writes so much at once; longer files are for an editor in the machine. */
const TEXT_MAX_BYTES = 1024 * 1024;

interface EditorProps {
  vm: Vm;
  path: string;
  onClose: () => void;
}

export function Editor({ vm, path, onClose }: EditorProps) {
  const [text, setText] = useState<string | undefined>(undefined);
  const { value, failure } = useLoad(() => read(vm, path), [vm.id, path]);
  const shown = text ?? value?.text ?? "";
  const isChanged = text !== undefined && text !== value?.text;
  const leave = async () => {
    const isSure =
      !isChanged ||
      (await confirm("Discard the changes?", {
        body: visibleName(path),
        confirm: "Discard",
        isDanger: true,
      }));
    if (isSure) onClose();
  };
  const save = async () => {
    const data = toBase64(new TextEncoder().encode(shown));
    const saved = await runTask(`Save ${visibleName(path)}`, () =>
      daemon.file.write({ name: vm.id, path, data }),
    );
    if (saved) onClose();
  };
  return (
    <>
      <div class="toolbar">
        <Button onClick={() => void leave()}>Back</Button>
        <strong class="mono wrap">{visibleName(path)}</strong>
        {value && <span class="dim">{size(value.size_bytes)}</span>}
        <Button onClick={() => void download(vm, path, value?.size_bytes ?? 0)}>Download</Button>
        <Button kind="main" isDisabled={!isChanged} onClick={() => void save()}>
          Save
        </Button>
      </div>
      {failure && <Trouble failure={failure} />}
      {value && value.text === undefined && (
        <p class="dim">Not shown: the file is binary or larger than {size(TEXT_MAX_BYTES)}.</p>
      )}
      {value?.text !== undefined && (
        <textarea
          class="editor mono"
          aria-label={`Text of ${visibleName(path)}`}
          spellcheck={false}
          value={shown}
          onInput={({ currentTarget }) => setText(currentTarget.value)}
        />
      )}
    </>
  );
}

async function read(
  vm: Vm,
  path: string,
): Promise<{ size_bytes: number; text: string | undefined }> {
  const { size_bytes } = await daemon.file.stat({ name: vm.id, path });
  if (size_bytes > TEXT_MAX_BYTES) return { size_bytes, text: undefined };
  const { data } = await daemon.file.read({ name: vm.id, path });
  return { size_bytes, text: textOf(fromBase64(data)) };
}

/** Undefined for what is no UTF-8 text. */
function textOf(bytes: Uint8Array<ArrayBuffer>): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
