import { useState } from "react";

import { bytes, count } from "../lib/numbers";
import { duration, exact, relative, useNow } from "../lib/time";
import { Icon } from "./icons";
import { toast } from "./feedback";

/** A time from now, with the exact one on hover. */
export function Time({ at, prefix }: { at: string | undefined; prefix?: string }) {
  const now = useNow();
  if (at === undefined) return <span className="muted">–</span>;
  const time = new Date(at);
  return (
    <time dateTime={at} title={exact(time)} className="nowrap">
      {prefix ? `${prefix} ` : ""}
      {relative(time, now)}
    </time>
  );
}

/** An exact time, with its distance from now on hover. */
export function ExactTime({ at }: { at: string }) {
  const now = useNow();
  const time = new Date(at);
  return (
    <time dateTime={at} title={`${relative(time, now)} · ${time.toISOString()}`} className="nowrap">
      {exact(time).split(" · ")[0]}
    </time>
  );
}

export async function copyText(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without the permission, as in a page inside another one or over plain http: the old way.
    const area = document.createElement("textarea");
    area.value = text;
    area.setAttribute("readonly", "");
    area.style.position = "fixed";
    area.style.opacity = "0";
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) {
      toast("The browser does not let this page copy.", "bad");
      return;
    }
  }
  toast("Copied");
}

/** An id or another short text in monospace that a click copies. */
export function Id({ value, shown }: { value: string; shown?: string }) {
  return (
    <button
      type="button"
      className="copyable"
      title={`Copy ${value}`}
      onClick={(e) => {
        e.stopPropagation();
        void copyText(value);
      }}
    >
      <span className="clip">{shown ?? value}</span>
      <Icon name="copy" size={13} />
      <span className="hidden-text">, copy</span>
    </button>
  );
}

export function CopyButton({ text, label = "Copy", small = true }: { text: string | (() => string); label?: string; small?: boolean }) {
  return (
    <button type="button" className={`button ${small ? "small" : ""}`} onClick={() => void copyText(typeof text === "string" ? text : text())}>
      <Icon name="copy" size={13} />
      {label}
    </button>
  );
}

/** A command or a text to copy. */
export function Code({ text, wrapped = false, label = "code" }: { text: string; wrapped?: boolean; label?: string }) {
  return (
    <div className="code">
      <pre className={wrapped ? "wrapped" : undefined} tabIndex={0} role="region" aria-label={label}>
        {text}
      </pre>
      <button type="button" className="button small icon" onClick={() => void copyText(text)} title="Copy" aria-label={`Copy the ${label}`}>
        <Icon name="copy" size={14} />
      </button>
    </div>
  );
}

export function Count({ value }: { value: number | undefined }) {
  return value === undefined ? <span className="muted">–</span> : <>{count(value)}</>;
}

export function Duration({ ms }: { ms: number | undefined }) {
  return ms === undefined ? <span className="muted">–</span> : <span className="nowrap">{duration(ms)}</span>;
}

export function Bytes({ value }: { value: number | undefined }) {
  return value === undefined ? <span className="muted">–</span> : <span className="nowrap">{bytes(value)}</span>;
}

/** A secret that is shown on demand. load gets it from the API. */
export function Secret({ load, label }: { load: () => Promise<string>; label: string }) {
  const [value, setValue] = useState<string>();
  const [wrong, setWrong] = useState<string>();
  const get = async () => {
    try {
      const v = value ?? (await load());
      setWrong(undefined);
      return v;
    } catch (error) {
      setWrong((error as Error).message);
      return undefined;
    }
  };
  return (
    <span className="row tight">
      {value === undefined ? <span className="mono" aria-label={`${label}, hidden`}>••••••••••••••••</span> : <Id value={value} />}
      <button type="button" className="button small" aria-expanded={value !== undefined} onClick={() => (value === undefined ? void get().then(setValue) : setValue(undefined))}>
        <Icon name="eye" size={14} />
        {value === undefined ? "Reveal" : "Hide"}
      </button>
      <button type="button" className="button small" onClick={() => void get().then((v) => (v === undefined ? undefined : copyText(v)))}>
        <Icon name="copy" size={13} />
        Copy
      </button>
      {wrong && <span className="wrong" role="alert">{wrong}</span>}
    </span>
  );
}
