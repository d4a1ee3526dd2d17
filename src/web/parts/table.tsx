import type { ComponentChildren } from "preact";

/** `isWide`: not shown at a phone's width, as its cells, which have the class "wide-only". */
export type Column = string | { label: string; isWide: true };

interface TableProps {
  /** Read before the table. */
  caption: string;
  columns: readonly Column[];
  /** Whether the last cell of each row has its actions. */
  hasActions?: boolean;
  /** The rows. */
  children: ComponentChildren;
}

export function Table({ caption, columns, hasActions = false, children }: TableProps) {
  return (
    <table class="table">
      <caption class="hidden">{caption}</caption>
      <thead>
        <tr>
          {columns.map((column) => {
            const { label, isWide } =
              typeof column === "string" ? { label: column, isWide: false } : column;
            return (
              <th key={label} scope="col" class={isWide ? "wide-only" : undefined}>
                {label}
              </th>
            );
          })}
          {hasActions && (
            <th scope="col">
              <span class="hidden">Actions</span>
            </th>
          )}
        </tr>
      </thead>
      <tbody>{children}</tbody>
    </table>
  );
}
