/** What the machine has cost the host in the last hour. */
import { useEffect, useRef } from "preact/hooks";
import type { UsageSample } from "#api/ui/usage.ts";
import type { Vm } from "#api/vm.ts";
import { isDark } from "#web/app/theme.ts";
import { usageOf } from "#web/link/usage.ts";
import { percent, rate, size } from "#web/parts/format.ts";
import { Empty } from "#web/parts/trouble.tsx";
import type { Chart, Series } from "./chart.ts";

const KIB = 1024;

interface Graph {
  title: string;
  series: readonly (Series & { of: (sample: UsageSample) => number })[];
  format: (value: number) => string;
  least: number;
}

const GRAPHS: readonly Graph[] = [
  {
    title: "CPU",
    series: [{ label: "of one CPU", token: "accent", of: ({ cpu }) => cpu }],
    format: percent,
    least: 0.05,
  },
  {
    title: "Memory",
    series: [{ label: "resident", token: "info", of: ({ resident_bytes }) => resident_bytes }],
    format: size,
    least: KIB,
  },
  {
    title: "Disk",
    series: [
      { label: "read", token: "ok", of: ({ read_bytes }) => read_bytes },
      { label: "write", token: "accent", of: ({ write_bytes }) => write_bytes },
    ],
    format: rate,
    least: KIB,
  },
  {
    title: "Network",
    series: [
      { label: "receive", token: "info", of: ({ receive_bytes }) => receive_bytes },
      { label: "send", token: "warn", of: ({ send_bytes }) => send_bytes },
    ],
    format: rate,
    least: KIB,
  },
];

export function UsageTab({ vm }: { vm: Vm }) {
  const samples = usageOf(vm.id);
  const last = samples.at(-1);
  if (!last) {
    const isUp = vm.vmm !== undefined;
    return <Empty title={isUp ? "Measuring…" : `The machine is ${vm.state}`} />;
  }
  return (
    <>
      <div class="graphs">
        {GRAPHS.map((graph) => (
          <Plot key={graph.title} graph={graph} samples={samples} />
        ))}
      </div>
      <p class="dim">
        Measured on the host, for up to an hour while a browser is logged in. Writable layer:{" "}
        {size(last.disk_bytes)} of {size(vm.disk_bytes)}.
      </p>
    </>
  );
}

function Plot({ graph, samples }: { graph: Graph; samples: readonly UsageSample[] }) {
  const ref = useRef<HTMLDivElement>(null);
  const chart = useRef<Chart | undefined>(undefined);
  const newest = useRef(samples);
  newest.current = samples;
  const dark = isDark.value;
  const { title, series, format, least } = graph;
  useEffect(() => {
    let isOver = false;
    void import("./chart.ts").then(({ drawChart }) => {
      if (isOver || !ref.current) return;
      chart.current = drawChart(ref.current, { series, format, least });
      chart.current.set(dataOf(graph, newest.current));
    });
    return () => {
      isOver = true;
      chart.current?.destroy();
      chart.current = undefined;
    };
  }, [graph, dark]);
  useEffect(() => chart.current?.set(dataOf(graph, samples)), [samples]);
  const last = samples.at(-1);
  const texts = last ? series.map(({ label, of }) => `${format(of(last))} ${label}`) : [];
  return (
    <figure class="graph">
      <figcaption>
        <strong>{title}</strong> {texts.join(", ")}
      </figcaption>
      <div ref={ref} class="graph-body" aria-hidden="true" />
    </figure>
  );
}

function dataOf({ series }: Graph, samples: readonly UsageSample[]): number[][] {
  return [samples.map(({ at_ms }) => at_ms / 1000), ...series.map(({ of }) => samples.map(of))];
}
