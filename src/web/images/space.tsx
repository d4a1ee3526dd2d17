/** What images take on disk, as one bar, and what gc would free of it. */
import { useEffect, useRef } from "preact/hooks";
import type { Image } from "#api/image.ts";
import { daemon } from "#web/link/daemon.ts";
import { runTask } from "#web/link/tasks.ts";
import { Button } from "#web/parts/button.tsx";
import { confirm } from "#web/parts/dialog.tsx";
import { size } from "#web/parts/format.ts";
import { useLoad } from "#web/parts/load.ts";

const PARTS = [
  ["images_bytes", "images"],
  ["snapshots_bytes", "snapshots"],
  ["templates_bytes", "templates"],
  ["cache_bytes", "layer cache"],
  ["builds_bytes", "build cache"],
] as const;

/** `images`: a new list of them is a new usage. */
export function Space({ images }: { images: readonly Image[] | undefined }) {
  const { value, reload } = useLoad((signal) => daemon.image.usage(undefined, { signal }), []);
  useEffect(() => {
    if (images) reload();
  }, [images]);
  if (!value) return null;
  const total = PARTS.reduce((sum, [key]) => sum + value[key], 0);
  const collect = async () => {
    const isSure = await confirm("Remove unreferenced image data?", {
      body: `About ${size(value.reclaimable_bytes)} are freed. Images, machines and snapshots stay.`,
      confirm: "Remove",
    });
    if (!isSure) return;
    await runTask("Remove unreferenced image data", () => daemon.image.gc({}));
    reload();
  };
  return (
    <section class="block" aria-label="Disk usage">
      <h2>Disk usage</h2>
      <div class="space-bar" aria-hidden="true">
        {PARTS.map(([key]) => (
          <Part key={key} name={key} share={total ? value[key] / total : 0} />
        ))}
      </div>
      <ul class="legend">
        {PARTS.map(([key, label]) => (
          <li key={key} class={key}>
            <i aria-hidden="true" />
            {label} <strong>{size(value[key])}</strong>
          </li>
        ))}
        <li>
          reclaimable <strong>{size(value.reclaimable_bytes)}</strong>
        </li>
      </ul>
      <Button isDisabled={value.reclaimable_bytes === 0} onClick={() => void collect()}>
        Free space…
      </Button>
    </section>
  );
}

function Part({ name, share }: { name: string; share: number }) {
  const ref = useRef<HTMLElement>(null);
  // By script, which the page's policy allows where it forbids the attribute.
  useEffect(() => ref.current?.style.setProperty("flex-grow", String(share)), [share]);
  return <i ref={ref} class={name} />;
}
