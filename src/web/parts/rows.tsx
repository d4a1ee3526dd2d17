/** A long list of which only the visible rows are in the document. All rows are equally high. */
import type { ComponentChildren, RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

const OVERSCAN = 8;

interface RowsProps<T> {
  items: readonly T[];
  row_px: number;
  keyOf: (item: T) => string;
  children: (item: T, index: number) => ComponentChildren;
  /** Kept in view. */
  cursor?: number | undefined;
}

export function Rows<T>({ items, row_px, keyOf, children, cursor }: RowsProps<T>) {
  const ref = useRef<HTMLDivElement>(null);
  const { first, last } = useWindow(ref, items.length, row_px);
  useLayoutEffect(() => {
    if (cursor !== undefined) bringIntoView(ref.current, cursor * row_px, row_px);
  }, [cursor]);
  useLayoutEffect(() => {
    // By script, which the page's policy allows where it forbids the attribute.
    ref.current?.style.setProperty("height", `${items.length * row_px}px`);
    const inner = ref.current?.firstElementChild;
    if (inner instanceof HTMLElement) {
      inner.style.setProperty("transform", `translateY(${first * row_px}px)`);
    }
  });
  return (
    <div ref={ref} class="rows" role="presentation">
      <div role="presentation" class="rows-window">
        {items.slice(first, last).map((item, index) => (
          <RowSlot key={keyOf(item)}>{children(item, first + index)}</RowSlot>
        ))}
      </div>
    </div>
  );
}

function RowSlot({ children }: { children: ComponentChildren }) {
  return <>{children}</>;
}

function useWindow(ref: RefObject<HTMLDivElement | null>, count: number, row_px: number) {
  const [range, setRange] = useState({ first: 0, last: 40 });
  useEffect(() => {
    let frame = 0;
    const measure = () => {
      frame = 0;
      const top = ref.current?.getBoundingClientRect().top ?? 0;
      const first = Math.max(0, Math.floor(-top / row_px) - OVERSCAN);
      const last = Math.ceil((innerHeight - top) / row_px) + OVERSCAN;
      setRange((before) =>
        before.first === first && before.last === last ? before : { first, last },
      );
    };
    const later = () => {
      frame ||= requestAnimationFrame(measure);
    };
    measure();
    addEventListener("scroll", later, { passive: true });
    addEventListener("resize", later);
    return () => {
      cancelAnimationFrame(frame);
      removeEventListener("scroll", later);
      removeEventListener("resize", later);
    };
  }, [row_px, count]);
  return { first: Math.min(range.first, count), last: Math.min(Math.max(range.last, 0), count) };
}

/** Room for what sticks to the top of the window. */
const HEAD_PX = 130;
const FOOT_PX = 60;

function bringIntoView(list: HTMLElement | null, at_px: number, row_px: number): void {
  if (!list) return;
  const top = list.getBoundingClientRect().top + at_px;
  if (top < HEAD_PX) scrollBy(0, top - HEAD_PX);
  else if (top + row_px > innerHeight - FOOT_PX) scrollBy(0, top + row_px - innerHeight + FOOT_PX);
}
