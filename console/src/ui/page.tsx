import { Link, useNavigate } from "@tanstack/react-router";
import { type ReactNode, useEffect } from "react";

import { useKeys } from "../lib/keys";
import { Icon } from "./icons";

/** A screen: its title, what can be done, and its content. */
export function Page({ title, crumb, sub, actions, children, heading }: { title: string; heading?: ReactNode; crumb?: ReactNode; sub?: ReactNode; actions?: ReactNode; children: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · Grapnel`;
  }, [title]);
  return (
    <div className="page">
      <div className="page-head">
        <div className="titles">
          {crumb && <div className="crumbs">{crumb}</div>}
          <h1>{heading ?? title}</h1>
          {sub && <div className="muted">{sub}</div>}
        </div>
        {actions && <div className="row">{actions}</div>}
      </div>
      {children}
    </div>
  );
}

export function Card({ title, actions, children, foot, flush }: { title?: ReactNode; actions?: ReactNode; children: ReactNode; foot?: ReactNode; flush?: boolean }) {
  return (
    <section className="card">
      {(title || actions) && (
        <header>
          <h2>{title}</h2>
          {actions && <div className="row">{actions}</div>}
        </header>
      )}
      {flush ? children : <div className="body">{children}</div>}
      {foot && <footer>{foot}</footer>}
    </section>
  );
}

/** A list with details beside it: below 1,100 px they take the list's place. Esc closes them. */
export function Split({ children, details, title, close, actions }: { children: ReactNode; details?: ReactNode; title?: ReactNode; close: () => void; actions?: ReactNode }) {
  useKeys(details ? { Escape: close } : {});
  return (
    <div className={`split ${details ? "open" : ""}`}>
      <div className="stack">{children}</div>
      {details && (
        <aside aria-label="Details">
          <div className="aside-head">
            <div className="grow">{title}</div>
            <div className="row fixed">
              {actions}
              <button type="button" className="button small icon" onClick={close} aria-label="Close the details">
                <Icon name="close" size={14} />
              </button>
            </div>
          </div>
          <div className="aside-body">{details}</div>
        </aside>
      )}
    </div>
  );
}

/** Names and values. Values that are undefined are left out. */
export function Facts({ facts }: { facts: ([string, ReactNode] | false | undefined)[] }) {
  return (
    <dl className="facts">
      {facts.map(
        (f) =>
          f &&
          f[1] !== undefined && (
            <div key={f[0]} style={{ display: "contents" }}>
              <dt>{f[0]}</dt>
              <dd>{f[1]}</dd>
            </div>
          ),
      )}
    </dl>
  );
}

export function Figure({ label, value, unit, note }: { label: string; value: ReactNode; unit?: string; note?: ReactNode }) {
  return (
    <div className="figure">
      <div className="muted small">{label}</div>
      <div className="value">
        {value}
        {unit && <span className="unit">{unit}</span>}
      </div>
      {note && <div className="muted small">{note}</div>}
    </div>
  );
}

/** Moves through a list by the API's cursors. Going back is the browser's back. */
export function Pager({ cursor, next, rows, limit }: { cursor: string | undefined; next: string | null | undefined; rows: number | undefined; limit?: number }) {
  const navigate = useNavigate();
  if (!cursor && !next) return null;
  const go = (c: string | undefined) => void navigate({ to: ".", search: (prev: Record<string, unknown>) => ({ ...prev, cursor: c, sel: undefined }) } as never);
  return (
    <nav className="pager" aria-label="Pages">
      <span className="muted small">{rows !== undefined && next && limit !== undefined && rows < limit ? "The search goes on on the next page." : ""}</span>
      <div className="row">
        {cursor && (
          <>
            <button type="button" className="button small" onClick={() => history.back()}>
              Back
            </button>
            <button type="button" className="button small" onClick={() => go(undefined)}>
              First page
            </button>
          </>
        )}
        <button type="button" className="button small" disabled={!next} onClick={() => next && go(next)}>
          Next page
        </button>
      </div>
    </nav>
  );
}

/** Tabs that are places: each has an address, and back goes to the one before. */
export function TabLinks({ value, tabs }: { value: string; tabs: readonly (readonly [string, ReactNode] | false)[] }) {
  return (
    <nav className="tabs" aria-label="Sections">
      {tabs.map(
        (t) =>
          t && (
            <Link key={t[0]} to="." search={((prev: Record<string, unknown>) => ({ tenant: prev.tenant, of: prev.of, tab: t[0] })) as never} aria-current={t[0] === value ? "page" : undefined} activeProps={{}}>
              {t[1]}
            </Link>
          ),
      )}
    </nav>
  );
}
