import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useEffect, useSyncExternalStore } from "react";

import { ApiError } from "../api/client";
import { Signal } from "../api/transport";
import { Icon } from "./icons";

/** An error of the API, with each wrong value and its location. known are locations that are shown elsewhere. */
export function ErrorBox({ error, retry, known = [] }: { error: unknown; retry?: () => void; known?: readonly string[] }) {
  if (error === null || error === undefined) return null;
  const api = error instanceof ApiError ? error : undefined;
  const places = api?.elsewhere(known) ?? [];
  const shown = api?.problem?.errors?.length && places.length === 0 ? "Some values are wrong: see the fields." : (error as Error).message;
  return (
    <div className="box bad" role="alert">
      <div className="row apart top">
        <div className="grow">
          <p className="strong">{heading(api)}</p>
          <p>{shown}</p>
          {places.length > 0 && (
            <ul>
              {places.map((p) => (
                <li key={`${p.location} ${p.message}`}>
                  <code>{p.location}</code> {p.message}
                </li>
              ))}
            </ul>
          )}
          {api?.retryAfter !== undefined && <p className="small">Try again in {api.retryAfter} s.</p>}
        </div>
        {retry && (
          <button type="button" className="button small" onClick={retry}>
            Try again
          </button>
        )}
      </div>
    </div>
  );
}

function heading(error: ApiError | undefined): string {
  switch (error?.status) {
    case undefined:
      return "Something went wrong in this page";
    case 0:
      return "No answer";
    case 401:
      return "Not signed in";
    case 403:
      return "Not permitted";
    case 404:
      return "Not found";
    case 409:
      return "In conflict with the present state";
    case 400:
    case 422:
      return "Not accepted";
    case 429:
      return "Too many requests";
    default:
      return error!.status >= 500 ? "The server has a problem" : "Not done";
  }
}

/** What is wrong with a field. */
export function Wrong({ id, children }: { id?: string; children: string | undefined }) {
  return children ? (
    <span className="wrong" id={id}>
      {children}
    </span>
  ) : null;
}

/** A place with nothing in it: what would be here, and how to get it. */
export function Empty({ title, children, action }: { title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <div className="empty">
      <h2>{title}</h2>
      {children}
      {action}
    </div>
  );
}

/** Lines that stand for what is being loaded. */
export function Skeleton({ lines = 6, height = 14 }: { lines?: number; height?: number }) {
  return (
    <div className="stack tight" role="status">
      <span className="hidden-text">Loading</span>
      {Array.from({ length: lines }, (_, i) => (
        <span key={i} className="skeleton" style={{ height, width: `${92 - ((i * 17) % 41)}%` }} aria-hidden="true" />
      ))}
    </div>
  );
}

export function Progress({ parts, all, label }: { parts: { n: number; tone?: "ok" | "bad" }[]; all: number; label: string }) {
  const done = parts.reduce((sum, p) => sum + p.n, 0);
  return (
    <div className="progress" role="progressbar" aria-label={label} aria-valuemin={0} aria-valuemax={all} aria-valuenow={Math.min(done, all)} aria-valuetext={`${done} of ${all}`}>
      {parts.map((p, i) => (
        <span key={i} className={p.tone} style={{ width: `${all > 0 ? Math.min(100, (p.n / all) * 100) : 0}%` }} />
      ))}
    </div>
  );
}

interface Toast {
  id: number;
  text: string;
  tone?: "bad";
}
const toasts = new Signal<Toast[]>([]);
let next = 0;

/** Says in a corner what has happened. Errors stay until they are closed. */
export function toast(text: string, tone?: "bad"): void {
  const t = { id: ++next, text, tone };
  toasts.set([...toasts.get().filter((o) => o.text !== text), t].slice(-4));
}

/** Says that something did not work. */
export function toastError(error: unknown): void {
  toast(error instanceof Error ? error.message : String(error), "bad");
}

export function Toasts() {
  const list = useSyncExternalStore(toasts.subscribe, toasts.get);
  return (
    <div className="toasts" role="status" aria-live="polite">
      {list.map((t) => (
        <OneToast key={t.id} toast={t} />
      ))}
    </div>
  );
}

function OneToast({ toast: t }: { toast: Toast }) {
  const close = () => toasts.set(toasts.get().filter((o) => o.id !== t.id));
  useEffect(() => {
    if (t.tone === "bad") return;
    const timer = setTimeout(close, 4000);
    return () => clearTimeout(timer);
  });
  return (
    <div className={`toast ${t.tone ?? ""}`}>
      <span>{t.text}</span>
      <button type="button" onClick={close} aria-label="Close the message">
        <Icon name="close" size={12} />
      </button>
    </div>
  );
}

/** The end of an action: renews what is shown, and says so. */
export function useDone(): (text?: string) => void {
  const client = useQueryClient();
  return (text) => {
    void client.invalidateQueries();
    if (text) toast(text);
  };
}
