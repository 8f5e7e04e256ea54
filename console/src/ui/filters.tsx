import { type ReactNode, useEffect, useId, useRef, useState } from "react";

import { fromLocal, toLocal } from "../lib/time";
import { Popover } from "./overlay";
import { Icon } from "./icons";

/** The filters of a list, in one line that wraps. */
export function Filters({ children, clear }: { children: ReactNode; clear?: (() => void) | undefined }) {
  return (
    <div className="filters" role="search" aria-label="Filters">
      {children}
      {clear && (
        <button type="button" className="button plain small" onClick={clear}>
          Clear filters
        </button>
      )}
    </div>
  );
}

interface SelectProps<T extends string> {
  label: string;
  value: T | undefined;
  /** The values with their words. */
  options: readonly (readonly [T, string])[];
  /** What no value means. */
  any: string;
  onChange: (value: T | undefined) => void;
}

export function SelectFilter<T extends string>({ label, value, options, any, onChange }: SelectProps<T>) {
  return (
    <label>
      {label}
      <select value={value ?? ""} onChange={(e) => onChange(e.target.value === "" ? undefined : (e.target.value as T))}>
        <option value="">{any}</option>
        {options.map(([v, word]) => (
          <option key={v} value={v}>
            {word}
          </option>
        ))}
      </select>
    </label>
  );
}

/** A text that filters when one stops typing. It has its label inside, for few characters. */
export function TextFilter({ label, value, onChange, mono = false, width = 190, suggestions }: { label: string; value: string | undefined; onChange: (value: string | undefined) => void; mono?: boolean; width?: number; suggestions?: readonly string[] }) {
  const [typed, setTyped] = useState(value ?? "");
  const list = useId();
  const sent = useRef(value);
  const latest = useRef(onChange);
  latest.current = onChange;
  useEffect(() => {
    // Back and forward change the value from outside; what is being typed stays.
    if (value !== sent.current) {
      sent.current = value;
      setTyped(value ?? "");
    }
  }, [value]);
  useEffect(() => {
    const next = typed.trim() === "" ? undefined : typed.trim();
    if (next === sent.current) return;
    const timer = setTimeout(() => {
      sent.current = next;
      latest.current(next);
    }, 350);
    return () => clearTimeout(timer);
  }, [typed]);
  return (
    <>
      <input type="search" className={mono ? "mono" : undefined} style={{ width }} aria-label={label} placeholder={label} value={typed} list={suggestions ? list : undefined} spellCheck={false} autoComplete="off" onChange={(e) => setTyped(e.target.value)} />
      {suggestions && (
        <datalist id={list}>
          {suggestions.map((s) => (
            <option key={s} value={s} />
          ))}
        </datalist>
      )}
    </>
  );
}

/** A choice of a few, as buttons beside each other. */
export function Presets<T extends string>({ label, value, options, onChange }: { label: string; value: T | undefined; options: readonly (readonly [T, string])[]; onChange: (value: T) => void }) {
  return (
    <div className="presets" role="group" aria-label={label}>
      {options.map(([v, word]) => (
        <button key={v} type="button" aria-pressed={v === value} onClick={() => onChange(v)}>
          {word}
        </button>
      ))}
    </div>
  );
}

/** Two times in the browser's zone. Presets are times from now and become absolute, so that the address means the same later. */
export function TimeRange({ since, until, onChange }: { since: string | undefined; until: string | undefined; onChange: (range: { since: string | undefined; until: string | undefined }) => void }) {
  const [open, setOpen] = useState(false);
  const [from, setFrom] = useState("");
  const [to, setTo] = useState("");
  const [wrong, setWrong] = useState<string>();
  const ids = [useId(), useId()] as const;
  const shortDate = (t: string) => new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }).format(new Date(t));
  const label = since === undefined && until === undefined ? "Any time" : until === undefined ? `Since ${shortDate(since!)}` : since === undefined ? `Until ${shortDate(until)}` : `${shortDate(since)} – ${shortDate(until)}`;
  return (
    <Popover
      label="Time"
      open={open}
      onOpenChange={(o) => {
        setOpen(o);
        setFrom(toLocal(since));
        setTo(toLocal(until));
        setWrong(undefined);
      }}
      trigger={
        <button type="button" className="button">
          {label}
          <Icon name="down" size={12} />
        </button>
      }
    >
      <form
        className="stack tight"
        onSubmit={(e) => {
          e.preventDefault();
          const range = { since: fromLocal(from), until: fromLocal(to) };
          if (range.since !== undefined && range.until !== undefined && range.since >= range.until) {
            setWrong("The end must be after the beginning.");
            return;
          }
          onChange(range);
          setOpen(false);
        }}
      >
        <div className="presets">
          {([["15 min", 15], ["1 h", 60], ["24 h", 1440], ["7 d", 10_080], ["30 d", 43_200]] as const).map(([word, minutes]) => (
            <button
              key={word}
              type="button"
              onClick={() => {
                onChange({ since: new Date(Date.now() - minutes * 60_000).toISOString(), until: undefined });
                setOpen(false);
              }}
            >
              {word}
            </button>
          ))}
        </div>
        <div className="field">
          <label htmlFor={ids[0]}>Since</label>
          <input id={ids[0]} type="datetime-local" value={from} onChange={(e) => setFrom(e.target.value)} />
        </div>
        <div className="field">
          <label htmlFor={ids[1]}>Until</label>
          <input id={ids[1]} type="datetime-local" value={to} onChange={(e) => setTo(e.target.value)} />
        </div>
        {wrong && <span className="wrong" role="alert">{wrong}</span>}
        <div className="row">
          <button type="submit" className="button primary small">
            Apply
          </button>
          <button
            type="button"
            className="button plain small"
            onClick={() => {
              onChange({ since: undefined, until: undefined });
              setOpen(false);
            }}
          >
            Any time
          </button>
        </div>
      </form>
    </Popover>
  );
}
