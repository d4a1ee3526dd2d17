/** Images, kernels and volumes: what is here, what it takes, and what can be had. */
import type { Image } from "#api/image.ts";
import { finish } from "#sdk/stream.ts";
import { pageHref } from "#web/app/route.ts";
import { daemon } from "#web/link/daemon.ts";
import { runTask } from "#web/link/tasks.ts";
import { Button } from "#web/parts/button.tsx";
import { confirm } from "#web/parts/dialog.tsx";
import { ago, size } from "#web/parts/format.ts";
import { useLoad } from "#web/parts/load.ts";
import { Table } from "#web/parts/table.tsx";
import { Empty, Trouble } from "#web/parts/trouble.tsx";
import { Build } from "./build.tsx";
import { Kernels } from "./kernels.tsx";
import { Pull } from "./pull.tsx";
import { Space } from "./space.tsx";
import { Volumes } from "./volumes.tsx";

export function ImagesPage() {
  const images = useLoad((signal) => daemon.image.list(undefined, { signal }), []);
  return (
    <>
      <h1>Images, kernels and volumes</h1>
      <Pull onDone={images.reload} />
      {images.failure && <Trouble failure={images.failure} onRetry={images.reload} />}
      {images.value && <Images images={images.value} reload={images.reload} />}
      <Space images={images.value} />
      <Build onDone={images.reload} />
      <Kernels />
      <Volumes />
    </>
  );
}

function Images({ images, reload }: { images: readonly Image[]; reload: () => void }) {
  if (images.length === 0) {
    return (
      <Empty title="No images yet">
        <p class="dim">Pull one above, or create a machine, which pulls its image.</p>
      </Empty>
    );
  }
  return (
    <Table
      caption="Images"
      columns={[
        "Name",
        { label: "Reference", isWide: true },
        "Size",
        { label: "Kernel", isWide: true },
        "Age",
      ]}
      hasActions
    >
      {images.map(({ id, name, reference, size_bytes, kernel, createdAt }) => (
        <tr key={id}>
          <td class="mono">{name}</td>
          <td class="mono dim wrap wide-only">{reference}</td>
          <td class="number">{size(size_bytes)}</td>
          <td class="wide-only">{kernel ?? <span class="dim">default</span>}</td>
          <td class="dim">{ago(createdAt)}</td>
          <td class="end">
            <a
              class="button quiet"
              href={`${pageHref("new")}?image=${encodeURIComponent(name)}`}
              aria-label={`Create a machine from ${name}`}
            >
              create
            </a>
            <Button
              kind="quiet"
              label={`Update ${name}`}
              onClick={() => void update(name).then(reload)}
            >
              update
            </Button>
            <Button
              kind="quiet"
              label={`Remove image ${name}`}
              onClick={() => void remove(name).then(reload)}
            >
              remove
            </Button>
          </td>
        </tr>
      ))}
    </Table>
  );
}

async function update(name: string): Promise<void> {
  await runTask(
    `Update image ${name}`,
    ({ signal, onProgress }) => finish(daemon.image.update({ name }, { signal }), onProgress),
    { isLong: true },
  );
}

async function remove(name: string): Promise<void> {
  const isSure = await confirm(`Remove image "${name}"?`, { confirm: "Remove", isDanger: true });
  if (isSure) await runTask(`Remove image ${name}`, () => daemon.image.remove({ name }));
}
