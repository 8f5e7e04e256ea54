import { lazy, Suspense, useState } from "react";

import { plural } from "../lib/numbers";
import { CopyButton } from "./text";

/** A JSON value whose objects and arrays fold. */
export function Json({ value, label = "JSON", copy = true }: { value: unknown; label?: string; copy?: boolean }) {
  return (
    <div className="stack tight">
      <div className="json" tabIndex={0} role="region" aria-label={label}>
        <Node value={value} depth={0} last />
      </div>
      {copy && (
        <div className="row">
          <CopyButton text={() => JSON.stringify(value, null, 2)} />
        </div>
      )}
    </div>
  );
}

/** Bytes that may be JSON: shown folded if they are, as text if not. */
export function JsonOrText({ text, label }: { text: string; label: string }) {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return (
      <div className="json" tabIndex={0} role="region" aria-label={label}>
        <span className="wrap" style={{ whiteSpace: "pre-wrap" }}>{text}</span>
      </div>
    );
  }
  return <Json value={value} label={label} />;
}

// More entries than that are shown on demand: a thousand nodes make a page slow.
const most = 100;

function Node({ name, value, depth, last }: { name?: string; value: unknown; depth: number; last: boolean }) {
  const isArray = Array.isArray(value);
  const isObject = typeof value === "object" && value !== null;
  const entries: [string, unknown][] = isObject ? (isArray ? value.map((v, i) => [String(i), v]) : Object.entries(value)) : [];
  const [open, setOpen] = useState(depth < 2 || entries.length <= 4);
  const [shown, setShown] = useState(most);
  const key = name !== undefined && (
    <>
      <span className="key">{JSON.stringify(name)}</span>
      {": "}
    </>
  );
  const comma = last ? "" : ",";
  if (!isObject) {
    const text = JSON.stringify(value) ?? "undefined";
    return (
      <div>
        {key}
        <span className={typeof value === "string" ? "str" : "lit"}>{text}</span>
        {comma}
      </div>
    );
  }
  const [begin, end] = isArray ? ["[", "]"] : ["{", "}"];
  if (entries.length === 0) {
    return (
      <div>
        {key}
        {begin}
        {end}
        {comma}
      </div>
    );
  }
  return (
    <div>
      <button type="button" className="fold" aria-expanded={open} aria-label={`${open ? "Fold" : "Unfold"} ${name ?? "the value"}`} onClick={() => setOpen(!open)}>
        {open ? "▾" : "▸"}
      </button>
      {key}
      {begin}
      {!open && <span className="muted"> {isArray ? plural(entries.length, "entry", "entries") : plural(entries.length, "member")} {end}{comma}</span>}
      {open && (
        <>
          <div className="kids">
            {entries.slice(0, shown).map(([k, v], i) => (
              <Node key={k} name={isArray ? undefined : k} value={v} depth={depth + 1} last={i === entries.length - 1} />
            ))}
            {entries.length > shown && (
              <button type="button" className="button small" onClick={() => setShown(shown + 10 * most)}>
                Show more of {plural(entries.length, "entry", "entries")}
              </button>
            )}
          </div>
          {end}
          {comma}
        </>
      )}
    </div>
  );
}

const Lazy = lazy(() => import("./editor"));

export interface EditorProps {
  value: string;
  onChange: (value: string) => void;
  label: string;
  wrong?: string | undefined;
}

/** A field for JSON. The editor is loaded when it is shown first; until then a plain field takes its place. */
export function JsonEditor(props: EditorProps) {
  return (
    <div className="field">
      <Suspense fallback={<textarea className="code-area" aria-label={props.label} value={props.value} onChange={(e) => props.onChange(e.target.value)} />}>
        <Lazy {...props} />
      </Suspense>
      {props.wrong && <span className="wrong" role="alert">{props.wrong}</span>}
    </div>
  );
}

/** Reads JSON that was typed. */
export function parseTyped(text: string): { value: unknown } | { wrong: string } {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch (error) {
    return { wrong: `This is no JSON: ${(error as Error).message}` };
  }
}
