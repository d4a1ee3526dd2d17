/** A graph over time. This file is a bundle of its own, loaded with the first graph. */
import uPlot from "uplot";

const HEIGHT_PX = 150;
const AXIS_PX = 68;

export interface Series {
  label: string;
  /** Of its colour. */
  token: string;
}

export interface Chart {
  /** Times in seconds, then the values of each series. */
  set(data: number[][]): void;
  destroy(): void;
}

export interface ChartOptions {
  series: readonly Series[];
  format: (value: number) => string;
  /** What the top of the graph stands for, at least. */
  least: number;
}

export function drawChart(element: HTMLElement, { series, format, least }: ChartOptions): Chart {
  const style = getComputedStyle(document.documentElement);
  const token = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const axis = {
    stroke: token("ink-2"),
    grid: { stroke: token("rule"), width: 1 },
    ticks: { stroke: token("rule"), width: 1 },
    font: "11px ui-monospace, monospace",
  };
  const plot = new uPlot(
    {
      width: element.clientWidth,
      height: HEIGHT_PX,
      legend: { show: false },
      cursor: { y: false },
      scales: { y: { range: (_, __, max) => [0, Math.max(max * 1.1, least)] } },
      axes: [
        { ...axis, space: 90, values: (_, ticks) => ticks.map(clock) },
        { ...axis, size: AXIS_PX, values: (_, ticks) => ticks.map(format) },
      ],
      series: [
        {},
        ...series.map(({ label, token: name }) => ({
          label,
          stroke: token(name),
          fill: `color-mix(in srgb, ${token(name)} 14%, transparent)`,
          width: 1.5,
          points: { show: false },
        })),
      ],
    },
    [[], ...series.map(() => [])],
    element,
  );
  const observer = new ResizeObserver(() =>
    plot.setSize({ width: element.clientWidth, height: HEIGHT_PX }),
  );
  observer.observe(element);
  return {
    set: (data) => plot.setData(data as uPlot.AlignedData),
    destroy() {
      observer.disconnect();
      plot.destroy();
    },
  };
}

function clock(at_s: number): string {
  return new Date(at_s * 1000).toTimeString().slice(0, 8);
}
