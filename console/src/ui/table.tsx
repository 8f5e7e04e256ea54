import { type ReactNode, useEffect, useRef, useState } from "react";

import { useKeys } from "../lib/keys";
import { Skeleton } from "./feedback";

export interface Column<Row> {
  /** Names the column; also the label of the value on a narrow screen. */
  head: string;
  cell: (row: Row) => ReactNode;
  /** Right-aligned, with digits of one width. */
  num?: boolean;
  /** The cell that stands first on a narrow screen, over the others. It has the row's link. */
  lead?: boolean;
  /** Left out on a narrow screen. */
  wideOnly?: boolean;
}

interface TableProps<Row> {
  label: string;
  columns: (Column<Row> | false | undefined)[];
  rows: readonly Row[] | undefined;
  id: (row: Row) => string;
  /** Opens a row: by a click anywhere in it, or Enter. */
  open?: (row: Row) => void;
  /** The row whose details are open. */
  current?: string;
  /** Whether j and k move through this table; only one table of a screen has the keys. */
  keys?: boolean;
}

/** A list of things: numbers on the right, the row opens its details. j and k move, Enter opens. */
export function Table<Row>({ label, columns, rows, id, open, current, keys = true }: TableProps<Row>) {
  const shown = columns.filter((c): c is Column<Row> => Boolean(c));
  const [at, setAt] = useState<string>();
  const body = useRef<HTMLTableSectionElement>(null);
  const marked = current ?? at;
  const move = (by: number) => {
    if (!rows || rows.length === 0) return;
    const i = rows.findIndex((r) => id(r) === (at ?? current));
    const next = rows[Math.max(0, Math.min(rows.length - 1, i < 0 ? 0 : i + by))];
    if (next === undefined) return;
    setAt(id(next));
    // With details open beside the list, they follow.
    if (current !== undefined) open?.(next);
    const tr = body.current?.querySelector<HTMLElement>(`tr[data-id="${CSS.escape(id(next))}"]`);
    tr?.scrollIntoView({ block: "nearest" });
    tr?.querySelector<HTMLElement>("a[href]")?.focus({ preventScroll: true });
  };
  useKeys(
    keys && open
      ? {
          j: () => move(1),
          k: () => move(-1),
          Enter:
            at !== undefined && !(document.activeElement instanceof HTMLAnchorElement) && !(document.activeElement instanceof HTMLButtonElement)
              ? () => {
                  const row = rows?.find((r) => id(r) === at);
                  if (row) open(row);
                }
              : undefined,
        }
      : {},
  );
  useEffect(() => setAt(undefined), [current]);
  if (rows === undefined) {
    return (
      <div className="card">
        <div className="body">
          <Skeleton lines={8} height={18} />
        </div>
      </div>
    );
  }
  return (
    <div className="table-scroll">
      <table className="table cards" aria-label={label}>
        <thead>
          <tr>
            {shown.map((c) => (
              <th key={c.head} scope="col" className={c.num ? "num" : undefined}>
                {c.head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody ref={body}>
          {rows.map((row) => (
            <tr
              key={id(row)}
              data-id={id(row)}
              data-current={marked === id(row)}
              className={open ? "opens" : undefined}
              onClick={
                open
                  ? (e) => {
                      const target = e.target as HTMLElement;
                      // Links and buttons in the row do what they say; who marks text does not want to leave.
                      if (target.closest("a, button, input, label, select") || String(getSelection()) !== "") return;
                      open(row);
                    }
                  : undefined
              }
            >
              {shown.map((c) => (
                <td key={c.head} data-label={c.head} className={[c.num && "num", c.lead && "lead", c.wideOnly && "blank"].filter(Boolean).join(" ") || undefined}>
                  {c.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
