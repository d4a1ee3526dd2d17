/** A small graph of the last values, drawn as one path. */
const WIDTH = 64;
const HEIGHT = 18;
const POINTS_MAX = 32;

interface SparkProps {
  values: readonly number[];
  /** What the top of the graph stands for, at least. */
  top: number;
  /** Read in place of the graph. */
  label: string;
}

export function Spark({ values, top, label }: SparkProps) {
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={label}>
      <path d={sparkPath(values, top)} />
    </svg>
  );
}

/** The newest value at the right edge. */
export function sparkPath(values: readonly number[], top: number): string {
  const shown = values.slice(-POINTS_MAX);
  if (shown.length < 2) return "";
  const max = Math.max(top, ...shown) || 1;
  const step = WIDTH / (POINTS_MAX - 1);
  const first = WIDTH - (shown.length - 1) * step;
  const y = (value: number) => (HEIGHT - 1 - (value / max) * (HEIGHT - 2)).toFixed(1);
  const line = shown.map((value, index) => `${(first + index * step).toFixed(1)} ${y(value)}`);
  return `M${first.toFixed(1)} ${HEIGHT}L${line.join("L")}L${WIDTH} ${HEIGHT}Z`;
}
