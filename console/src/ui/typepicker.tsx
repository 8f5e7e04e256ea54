import { useState } from "react";

import type { EventType } from "../api/schema";
import { grouped, matches, operationalTypes, toggled } from "../lib/eventtypes";
import { plural } from "../lib/numbers";
import { Wrong } from "./feedback";
import { Json } from "./json";

interface Props {
  types: readonly EventType[];
  value: readonly string[];
  onChange: (events: string[]) => void;
  wrong?: string | undefined;
}

/** Chooses what a webhook subscribes to: types in groups by the first part of their names, whole groups, or all. */
export function TypePicker({ types, value, onChange, wrong }: Props) {
  const [typed, setTyped] = useState("");
  const [shown, setShown] = useState<string>();
  const find = typed.trim().toLowerCase();
  // Deprecated types are offered to no one; who has one keeps it.
  const offered = types.filter((t) => (!t.deprecated || value.includes(t.name)) && (find === "" || t.name.toLowerCase().includes(find) || t.description.toLowerCase().includes(find)));
  const groups = grouped(offered);
  const all = value.includes("*");
  const unknown = value.filter((v) => v !== "*" && !v.endsWith(".*") && !types.some((t) => t.name === v));
  const looseGroups = value.filter((v) => v.endsWith(".*") && !grouped(types).some((g) => `${g.prefix}.*` === v));
  const detail = types.find((t) => t.name === shown);
  const many = offered.length > 24 && find === "";
  return (
    <fieldset className="field" aria-describedby={wrong ? "types-wrong" : undefined}>
      <legend>Event types</legend>
      <span className="hint">{value.length === 0 ? "Choose at least one." : `Chosen: ${plural(value.length, "subscription")}.`} A group has all types that begin with its name, also future ones.</span>
      <Wrong id="types-wrong">{wrong}</Wrong>
      <div className="picker">
        <div className="picker-list">
          <input type="search" aria-label="Find an event type" placeholder="Find an event type" value={typed} spellCheck={false} onChange={(e) => setTyped(e.target.value)} />
          <div className="picker-scroll" tabIndex={0} role="group" aria-label="Event types">
            <div className="check picker-row">
              <input type="checkbox" id="type-all" checked={all} onChange={(e) => onChange(toggled(value, "*", e.target.checked))} />
              <label htmlFor="type-all">
                <span className="mono">*</span> all event types, also future ones; without the operational ones
              </label>
            </div>
            {[...looseGroups, ...unknown].map((v) => (
              <div className="check picker-row" key={v}>
                <input type="checkbox" id={`type-${v}`} checked onChange={() => onChange(toggled(value, v, false))} />
                <label htmlFor={`type-${v}`} className="mono">
                  {v}
                </label>
              </div>
            ))}
            {groups.map((g) => {
              const whole = `${g.prefix}.*`;
              const hasWhole = value.includes(whole);
              const operational = g.members.every((m) => operationalTypes.includes(m.name));
              const chosen = g.members.filter((m) => value.some((v) => matches(v, m.name, operationalTypes.includes(m.name)))).length;
              const dotted = g.members.some((m) => m.name !== g.prefix);
              return (
                <details key={g.prefix} className="picker-group" open={!many || (chosen > 0 && !all)}>
                  <summary>
                    <span className="strong">{g.prefix}</span>{" "}
                    <span className="muted small">
                      {chosen} of {g.members.length}
                    </span>
                  </summary>
                  {dotted && !operational && (
                    <div className="check picker-row">
                      <input type="checkbox" id={`type-${whole}`} checked={hasWhole} disabled={all && !hasWhole} onChange={(e) => onChange(toggled(value, whole, e.target.checked))} />
                      <label htmlFor={`type-${whole}`}>
                        <span className="mono">{whole}</span> the whole group
                      </label>
                    </div>
                  )}
                  {g.members.map((t) => {
                    const own = value.includes(t.name);
                    const covered = !own && value.some((v) => v !== t.name && matches(v, t.name, operationalTypes.includes(t.name)));
                    return (
                      <div className="check picker-row" key={t.name} data-current={shown === t.name}>
                        <input
                          type="checkbox"
                          id={`type-${t.name}`}
                          checked={own || covered}
                          disabled={covered}
                          onFocus={() => setShown(t.name)}
                          onChange={(e) => {
                            setShown(t.name);
                            onChange(toggled(value, t.name, e.target.checked));
                          }}
                        />
                        <label htmlFor={`type-${t.name}`} className="grow">
                          <span className="mono">{t.name}</span>
                          {t.deprecated && <span className="tag">deprecated</span>}
                          <span className="muted small"> {t.description}</span>
                        </label>
                        <button type="button" className="button plain small" aria-label={`About ${t.name}`} aria-pressed={shown === t.name} onClick={() => setShown(shown === t.name ? undefined : t.name)}>
                          About
                        </button>
                      </div>
                    );
                  })}
                </details>
              );
            })}
            {offered.length === 0 && <p className="muted picker-row">No type matches.</p>}
          </div>
        </div>
        <div className="picker-detail">{detail ? <TypeDetail type={detail} /> : <p className="muted">Choose “About” beside a type to see its data.</p>}</div>
      </div>
    </fieldset>
  );
}

/** What a type means, and what its data looks like. */
export function TypeDetail({ type: t, named = true }: { type: EventType; named?: boolean }) {
  return (
    <div className="stack tight">
      {named && <h3 className="mono wrap">{t.name}</h3>}
      <p>{t.description || <span className="muted">It has no description.</span>}</p>
      {t.example !== undefined && (
        <>
          <h3>Example of data</h3>
          <Json value={t.example} label={`Example of ${t.name}`} />
        </>
      )}
      {t.schema !== undefined && t.schema !== null ? (
        <>
          <h3>Schema</h3>
          <Json value={t.schema} label={`Schema of ${t.name}`} />
        </>
      ) : (
        <p className="muted small">It has no schema: any data is accepted.</p>
      )}
    </div>
  );
}
