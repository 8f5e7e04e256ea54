import { useMutation, useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useId, useState } from "react";

import { acting, api, ApiError, unwrap } from "../api/client";
import * as queries from "../api/queries";
import type { CreateReplayRequest, ErrorClass, Replay, ReplayEstimate, ReplayStatus } from "../api/schema";
import { errorClasses } from "../deliveries/words";
import { count, plural } from "../lib/numbers";
import { useScope } from "../lib/scope";
import { fromLocal, toLocal } from "../lib/time";
import { ErrorBox, toast, Wrong } from "../ui/feedback";
import { Choice, Field } from "../ui/form";
import { useWebhookNames, webhookLabel } from "../ui/names";
import { Card, Page } from "../ui/page";
import { choices, leftOutWords } from "./words";
import "../deliveries/deliveries.css";

const route = getRouteApi("/replays/new");

// The locations of errors that the form shows at their fields.
const fields = ["body.since", "body.until", "body.status", "body.webhook_ids", "body.event_types", "body.reference", "body.rate", "body.error_class", "body.status_class", "body.delivery_ids"];

/**
 * NewReplay is the form of a new replay. It chooses events by webhook, time and outcome, or shows the deliveries that were
 * chosen in a list. An estimate counts them without sending.
 */
export function NewReplay() {
  const given = route.useSearch();
  const navigate = route.useNavigate();
  const scope = useScope();
  const chosen = given.delivery_ids;
  const [only, setOnly] = useState<readonly string[] | undefined>(given.webhook_ids ?? (given.webhook_id ? [given.webhook_id] : undefined));
  const [status, setStatus] = useState<ReplayStatus>(given.status ?? "failed");
  // A time in the address keeps its seconds until another one is chosen.
  const [since, setSince] = useState(toLocal(given.since ?? new Date(Date.now() - 24 * 3_600_000).toISOString()));
  const [until, setUntil] = useState(toLocal(given.until));
  const [types, setTypes] = useState(given.event_type ?? "");
  const [reference, setReference] = useState(given.reference ?? "");
  const [statusClass, setStatusClass] = useState<string>(given.status_class ?? "");
  const [errorClass, setErrorClass] = useState<ErrorClass | "">(given.error_class ?? "");
  const [rate, setRate] = useState("");

  const body = (dry: boolean): CreateReplayRequest => {
    const request: CreateReplayRequest = dry ? { dry_run: true } : {};
    if (rate.trim() !== "") {
      request.rate = Number(rate);
    }
    if (chosen) {
      return { ...request, delivery_ids: chosen };
    }
    const listed = types.split(/[\s,]+/).filter((t) => t !== "");
    return {
      ...request,
      status,
      since: since === toLocal(given.since) && given.since ? given.since : fromLocal(since),
      ...(until === "" ? {} : { until: until === toLocal(given.until) && given.until ? given.until : fromLocal(until) }),
      ...(only ? { webhook_ids: [...only] } : {}),
      ...(listed.length ? { event_types: listed } : {}),
      ...(reference.trim() === "" ? {} : { reference: reference.trim() }),
      ...(statusClass === "" ? {} : { status_class: statusClass }),
      ...(errorClass === "" ? {} : { error_class: errorClass }),
    };
  };
  const send = (dry: boolean) => unwrap(api.POST("/v1/replays", { ...acting(scope.one), body: body(dry) }));
  const estimate = useMutation({ mutationFn: () => send(true) as Promise<ReplayEstimate> });
  const start = useMutation({
    mutationFn: () => send(false) as Promise<Replay>,
    onSuccess: (r) => {
      toast("The replay has begun");
      void navigate({ to: "/replays/$id", params: { id: r.id }, search: { of: scope.all ? scope.one : undefined } });
    },
  });
  const failure = start.error ?? estimate.error;
  const wrong = (location: string) => (failure instanceof ApiError ? failure.at(`body.${location}`) : undefined);
  const busy = estimate.isPending || start.isPending;
  const changed = <A extends unknown[]>(set: (...a: A) => void) => (...a: A) => {
    // An estimate of other conditions must not stand beside the button.
    estimate.reset();
    start.reset();
    set(...a);
  };

  return (
    <Page title="New replay" crumb={<Link to="/replays">Replays</Link>}>
      <form
        className="form"
        onSubmit={(e) => {
          e.preventDefault();
          if (!busy) start.mutate();
        }}
      >
        {chosen ? (
          <Card title={plural(chosen.length, "chosen delivery", "chosen deliveries")}>
            <div className="stack tight">
              <p>Each event is sent to its webhook again, whatever the delivery's state, unless an attempt is to come.</p>
              <ul className="stack tight small">
                {chosen.slice(0, 20).map((id, i) => (
                  <li key={id}>
                    <Link className="mono wrap" to="/deliveries/$id" params={{ id }} search={{ of: given.of }}>
                      {id}
                    </Link>
                    <Wrong>{failure instanceof ApiError ? failure.at(`body.delivery_ids[${i}]`) : undefined}</Wrong>
                  </li>
                ))}
              </ul>
              {chosen.length > 20 ? <p className="muted small">and {chosen.length - 20} more</p> : null}
            </div>
          </Card>
        ) : (
          <>
            <fieldset className="field">
              <legend>What is sent again</legend>
              {choices.map(([value, label, hint]) => (
                <Radio key={value} name="status" label={label} hint={hint} checked={status === value} onChange={() => changed(setStatus)(value)} />
              ))}
              <Wrong>{wrong("status")}</Wrong>
            </fieldset>
            <div className="fieldrow">
              <Field label="Since" type="datetime-local" required value={since} onChange={(e) => changed(setSince)(e.target.value)} wrong={wrong("since")} hint="Events from this time on." />
              <Field label="Until" type="datetime-local" value={until} onChange={(e) => changed(setUntil)(e.target.value)} wrong={wrong("until")} hint="Optional. Default: now." />
            </div>
            <Webhooks only={only} set={changed(setOnly)} wrong={wrong("webhook_ids")} />
            <details open={types !== "" || reference !== "" || statusClass !== "" || errorClass !== "" || undefined}>
              <summary>More conditions</summary>
              <div className="fieldrow pad-top">
                <Field label="Event types" spellCheck={false} value={types} onChange={(e) => changed(setTypes)(e.target.value)} wrong={wrong("event_types")} hint="Names or patterns such as user.*, separated by commas." />
                <Field label="Reference" spellCheck={false} value={reference} onChange={(e) => changed(setReference)(e.target.value)} wrong={wrong("reference")} />
                <Choice label="Last HTTP status" value={statusClass} options={[["", "any"], ["2xx", "2xx"], ["3xx", "3xx"], ["4xx", "4xx"], ["5xx", "5xx"]]} onChange={changed(setStatusClass)} wrong={wrong("status_class")} />
                <Choice label="Last error" value={errorClass} options={[["", "any"], ...errorClasses]} onChange={changed(setErrorClass)} wrong={wrong("error_class")} />
              </div>
            </details>
          </>
        )}
        <Field
          label="Deliveries per second at most"
          type="number"
          min={1}
          max={1000}
          inputMode="numeric"
          placeholder="100"
          value={rate}
          onChange={(e) => changed(setRate)(e.target.value)}
          wrong={wrong("rate")}
          hint="Of all webhooks together. Each webhook's own limit holds too."
        />
        {scope.all && scope.one === undefined && !chosen ? (
          <p className="box warn">No tenant is chosen: this replay is of the tenant default. Choose another one at the top.</p>
        ) : null}
        <ErrorBox error={failure} known={fields} />
        <div className="row">
          <button type="submit" className="button primary" disabled={busy}>
            {start.isPending ? "Starting …" : "Start the replay"}
          </button>
          <button type="button" className="button" disabled={busy} onClick={() => estimate.mutate()}>
            {estimate.isPending ? "Counting …" : "Estimate"}
          </button>
        </div>
        {estimate.data ? <Estimate of={estimate.data} /> : null}
      </form>
    </Page>
  );
}

function Estimate({ of }: { of: ReplayEstimate }) {
  const scope = useScope();
  const name = useWebhookNames(scope.one ?? scope.list);
  return (
    <section className="box ok" role="status" aria-label="Estimate">
      <p className="strong">
        {of.complete ? "" : "At least "}
        {plural(of.events, "delivery", "deliveries")} would be sent.
      </p>
      {of.complete ? null : <p className="small">Not everything was counted: there may be more.</p>}
      {of.webhooks?.length ? (
        <ul>
          {of.webhooks.slice(0, 50).map((w) => (
            <li key={w.webhook_id}>
              {name(w.webhook_id)}: {w.left_out ? leftOutWords(w.left_out) : count(w.events)}
            </li>
          ))}
        </ul>
      ) : null}
      {(of.webhooks?.length ?? 0) > 50 || of.webhooks_omitted ? <p className="small">There are more webhooks.</p> : null}
    </section>
  );
}

function Radio({ name, label, hint, checked, onChange }: { name: string; label: string; hint?: string; checked: boolean; onChange: () => void }) {
  const id = useId();
  return (
    <div className="check">
      <input id={id} type="radio" name={name} checked={checked} onChange={onChange} aria-describedby={hint ? `${id}-hint` : undefined} />
      <div className="grow">
        <label htmlFor={id}>{label}</label>
        {hint ? (
          <div className="muted small" id={`${id}-hint`}>
            {hint}
          </div>
        ) : null}
      </div>
    </div>
  );
}

function Webhooks({ only, set, wrong }: { only: readonly string[] | undefined; set: (ids: readonly string[] | undefined) => void; wrong: string | undefined }) {
  const scope = useScope();
  const list = useQuery(queries.webhooks(scope.one, { limit: 100 }));
  const all = list.data?.webhooks ?? [];
  // Webhooks that the list does not have are chosen all the same.
  const others = (only ?? []).filter((id) => !all.some((w) => w.id === id));
  return (
    <fieldset className="field">
      <legend>Webhooks</legend>
      <Radio name="webhooks" label="All webhooks" hint="Disabled ones are left out; paused ones get their deliveries when the pause ends." checked={only === undefined} onChange={() => set(undefined)} />
      <Radio name="webhooks" label="Only some" checked={only !== undefined} onChange={() => set(only ?? [])} />
      {only !== undefined ? (
        <div className="picklist" role="group" aria-label="Webhooks to replay">
          {others.map((id) => (
            <Pick key={id} label={id} on onChange={() => set(only.filter((o) => o !== id))} />
          ))}
          {all.map((w) => (
            <Pick
              key={w.id}
              label={webhookLabel(w)}
              note={w.url}
              on={only.includes(w.id)}
              onChange={(on) => set(on ? [...only, w.id] : only.filter((o) => o !== w.id))}
            />
          ))}
          {list.data?.next_cursor ? <p className="muted small">The newest 100 are shown. Open another one and replay from there.</p> : null}
        </div>
      ) : null}
      <ErrorBox error={list.error} />
      <Wrong>{wrong}</Wrong>
    </fieldset>
  );
}

function Pick({ label, note, on, onChange }: { label: string; note?: string; on: boolean; onChange: (on: boolean) => void }) {
  const id = useId();
  return (
    <div className="check">
      <input id={id} type="checkbox" checked={on} onChange={(e) => onChange(e.target.checked)} />
      <label htmlFor={id} className="grow">
        <span className="wrap">{label}</span> {note && note !== label ? <span className="muted small wrap">{note}</span> : null}
      </label>
    </div>
  );
}
