import { useMutation, useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useBlocker } from "@tanstack/react-router";
import { type ReactNode, useEffect, useRef, useState } from "react";

import { acting, api, ApiError, unwrap } from "../api/client";
import { eventTypes, tenants, webhook } from "../api/queries";
import type { CreatedWebhook, Warning, Webhook } from "../api/schema";
import { useOperator } from "../api/session";
import { useScope } from "../lib/scope";
import { blank, createBody, formOf, type HeaderRow, problems, updateBody, type WebhookForm } from "../lib/webhookform";
import { ErrorBox, Skeleton, toast, useDone, Wrong } from "../ui/feedback";
import { Check, Choice, Field } from "../ui/form";
import { Icon } from "../ui/icons";
import { Card, Page } from "../ui/page";
import { Id } from "../ui/text";
import { TypePicker } from "../ui/typepicker";
import { Whose } from "../ui/whose";

const newRoute = getRouteApi("/webhooks/new");
const editRoute = getRouteApi("/webhooks/$id/edit");

/** Creates a webhook, and shows its secret once. */
export function NewWebhook() {
  const { event } = newRoute.useSearch();
  const scope = useScope();
  const operator = useOperator();
  const done = useDone();
  const [owner, setOwner] = useState<string>();
  const tenant = scope.all ? owner : scope.one;
  const [form, setForm] = useState<WebhookForm>({ ...blank, events: event ? [event] : [] });
  const create = useMutation({
    mutationFn: () => unwrap(api.POST("/v1/webhooks", { ...acting(tenant), body: createBody(form) })),
    onSuccess: () => done(),
  });
  const made = create.data;
  if (made) return <Created webhook={made} of={scope.all ? tenant : undefined} />;
  return (
    <Page title="New webhook" crumb={<Link to="/webhooks">Webhooks</Link>}>
      <Form
        form={form}
        onChange={setForm}
        tenant={tenant}
        before={operator && scope.all ? <TenantChoice value={owner} onChange={setOwner} /> : undefined}
        error={create.error}
        busy={create.isPending}
        verb="Create the webhook"
        cancel={<Link to="/webhooks" className="button">Cancel</Link>}
        submit={() => create.mutate()}
        isNew
        dirty={form.url !== "" || form.description !== ""}
      />
    </Page>
  );
}

/** Of which account the webhook is, where an operator looks at all of them. */
function TenantChoice({ value, onChange }: { value: string | undefined; onChange: (tenant: string) => void }) {
  const found = useQuery(tenants({ limit: 100 }));
  const list = found.data?.tenants.filter((t) => t.status !== "deleting") ?? [];
  const [typed, setTyped] = useState("");
  const only = list.length === 1 && !found.data?.next_cursor ? list[0]!.id : undefined;
  useEffect(() => {
    if (value === undefined && only !== undefined) onChange(only);
  }, [value, only, onChange]);
  return (
    <div className="fieldrow">
      <div className="field">
        <label htmlFor="owner">Tenant</label>
        <select id="owner" required value={value ?? ""} onChange={(e) => onChange(e.target.value)}>
          <option value="">choose one</option>
          {value !== undefined && !list.some((t) => t.id === value) && <option value={value}>{value}</option>}
          {list.map((t) => (
            <option key={t.id} value={t.id}>
              {t.name}
            </option>
          ))}
        </select>
        <ErrorBox error={found.error} />
      </div>
      {found.data?.next_cursor && <Field label="Or its id" value={typed} className="mono" onChange={(e) => setTyped(e.target.value)} onBlur={() => typed.trim() && onChange(typed.trim())} />}
    </div>
  );
}

function Created({ webhook: w, of }: { webhook: CreatedWebhook; of: string | undefined }) {
  return (
    <Page title="The webhook is created" crumb={<Link to="/webhooks">Webhooks</Link>}>
      <Card>
        <div className="stack">
          <p className="mono wrap">{w.url}</p>
          {w.secret && (
            <div className="field">
              <span className="strong">Signing secret</span>
              <Id value={w.secret} />
              <span className="hint">The receiver verifies with it that a request comes from here. Keep it secret.</span>
            </div>
          )}
          <Warnings list={w.warnings} />
          <div className="row">
            <Link to="/webhooks/$id" params={{ id: w.id }} search={{ of, tab: "test" }} className="button primary">
              Send a test
            </Link>
            <Link to="/webhooks/$id" params={{ id: w.id }} search={{ of }} className="button">
              Open the webhook
            </Link>
          </div>
        </div>
      </Card>
    </Page>
  );
}

function Warnings({ list }: { list: readonly Warning[] | undefined }) {
  return list?.map((n) => (
    <p key={`${n.location} ${n.message}`} className="box warn">
      <code>{n.location}</code> {n.message}
    </p>
  ));
}

/** Changes a webhook. */
export function EditWebhook() {
  const { id } = editRoute.useParams();
  return (
    <Whose kind="webhook" id={id}>
      <EditOne id={id} />
    </Whose>
  );
}

function EditOne({ id }: { id: string }) {
  const scope = useScope();
  const found = useQuery(webhook(scope.one, id));
  const crumb = <Link to="/webhooks/$id" params={{ id }} search={(s) => ({ of: s.of })}>{found.data?.description || found.data?.url || id}</Link>;
  return (
    <Page title="Edit webhook" crumb={crumb}>
      {found.data ? <Edit key={found.data.id} webhook={found.data} tenant={scope.one} /> : found.error ? <ErrorBox error={found.error} retry={() => void found.refetch()} /> : <Skeleton lines={10} height={22} />}
    </Page>
  );
}

function Edit({ webhook: now, tenant }: { webhook: Webhook; tenant: string | undefined }) {
  const navigate = editRoute.useNavigate();
  const done = useDone();
  // The webhook as it was when the form was opened: what others change meanwhile does not overwrite what is typed.
  const [before] = useState(now);
  const [form, setForm] = useState<WebhookForm>(() => formOf(now));
  const body = updateBody(form, before);
  const saved = useRef(false);
  const save = useMutation({
    mutationFn: () => unwrap(api.PATCH("/v1/webhooks/{id}", { ...acting(tenant), params: { path: { id: before.id } }, body })),
    onSuccess: async (w) => {
      saved.current = true;
      await navigate({ to: "/webhooks/$id", params: { id: before.id }, search: (s) => ({ of: s.of }) });
      done(w.warnings?.length ? undefined : "Saved");
      for (const n of w.warnings ?? []) toast(`Saved. ${n.location}: ${n.message}`, "bad");
    },
  });
  return (
    <Form
      form={form}
      onChange={setForm}
      tenant={tenant}
      error={save.error}
      busy={save.isPending}
      verb="Save"
      cancel={<Link to="/webhooks/$id" params={{ id: before.id }} search={(s) => ({ of: s.of })} className="button">Cancel</Link>}
      submit={() => save.mutate()}
      dirty={Object.keys(body).length > 0}
      saved={saved}
      oldHeaders={Object.keys(before.headers ?? {})}
    />
  );
}

interface FormProps {
  form: WebhookForm;
  onChange: (form: WebhookForm) => void;
  tenant: string | undefined;
  before?: ReactNode;
  error: unknown;
  busy: boolean;
  verb: string;
  cancel: ReactNode;
  submit: () => void;
  isNew?: boolean;
  /** Whether leaving would lose something. */
  dirty: boolean;
  saved?: React.RefObject<boolean>;
  oldHeaders?: readonly string[];
}

const known = ["body.url", "body.description", "body.events", "body.headers", "body.rate_limit", "body.timeout_seconds", "body.max_attempts", "body.secret", "body.signature_schemes", "body.profile", "body.trace_context"];

function Form({ form, onChange, tenant, before, error, busy, verb, cancel, submit, isNew = false, dirty, saved, oldHeaders = [] }: FormProps) {
  const types = useQuery(eventTypes(tenant));
  const [local, setLocal] = useState<Record<string, string>>({});
  const element = useRef<HTMLFormElement>(null);
  const at = (location: string) => local[location] ?? (error instanceof ApiError ? error.at(location) : undefined);
  const set = (change: Partial<WebhookForm>) => {
    setLocal({});
    onChange({ ...form, ...change });
  };
  useBlocker({ shouldBlockFn: () => dirty && !saved?.current && !busy && !confirm("Leave without saving? What you typed is lost."), enableBeforeUnload: () => dirty && !saved?.current });
  // The first wrong field is shown.
  useEffect(() => {
    if (error || Object.keys(local).length > 0) element.current?.querySelector<HTMLElement>("[aria-invalid=true], .wrong, [role=alert]")?.scrollIntoView({ block: "center" });
  }, [error, local]);
  const advanced = form.rate !== "" || form.timeout !== "" || form.attempts !== "" || form.secret !== "" || form.trace || form.ed25519 || form.profile !== "standard" || ["body.rate_limit", "body.timeout_seconds", "body.max_attempts", "body.secret", "body.headers", "body.signature_schemes"].some((l) => at(l) !== undefined);
  return (
    <form
      ref={element}
      className="stack"
      noValidate
      onSubmit={(e) => {
        e.preventDefault();
        const wrong = problems(form);
        if (before !== undefined && tenant === undefined) wrong["header.Grapnel-Tenant"] = "Choose the tenant.";
        setLocal(wrong);
        if (Object.keys(wrong).length === 0) submit();
      }}
    >
      <div className="form">
        {before}
        <Wrong>{at("header.Grapnel-Tenant")}</Wrong>
        <Field
          label="URL"
          type="url"
          className="mono"
          placeholder="https://example.com/webhooks"
          value={form.url}
          spellCheck={false}
          autoFocus={isNew}
          maxLength={2048}
          onChange={(e) => set({ url: e.target.value })}
          wrong={at("body.url")}
          hint="It gets a POST request for each event. It must be reachable from this service."
        />
        <Field label="Description" value={form.description} maxLength={1000} placeholder="what it is for" onChange={(e) => set({ description: e.target.value })} wrong={at("body.description")} />
      </div>
      {types.error && <ErrorBox error={types.error} retry={() => void types.refetch()} />}
      <TypePicker types={types.data ?? []} value={form.events} onChange={(events) => set({ events })} wrong={at("body.events")} />
      <details className="card" open={!isNew || advanced}>
        <summary className="body strong">Limits, headers, signature</summary>
        <div className="body form">
          <div className="fieldrow">
            <Field label="Requests per second" type="number" min={0} max={10_000} placeholder="no limit" value={form.rate} onChange={(e) => set({ rate: e.target.value })} wrong={at("body.rate_limit")} hint="What is over it waits its turn." />
            <Field label="Time-out of an attempt, s" type="number" min={1} max={30} placeholder={form.profile === "commenda" ? "10" : "15"} value={form.timeout} onChange={(e) => set({ timeout: e.target.value })} wrong={at("body.timeout_seconds")} hint="1 to 30 seconds." />
            <Field label="Attempts at most" type="number" min={1} max={5} placeholder="5" value={form.attempts} onChange={(e) => set({ attempts: e.target.value })} wrong={at("body.max_attempts")} hint="1 to 5." />
          </div>
          <Headers rows={form.headers} old={oldHeaders} onChange={(headers) => set({ headers })} wrong={at("body.headers")} />
          {isNew && (
            <>
              <Field label="Signing secret" className="mono" value={form.secret} autoComplete="off" spellCheck={false} placeholder="generated" onChange={(e) => set({ secret: e.target.value })} wrong={at("body.secret")} hint="8 to 256 characters. Leave it empty for a generated one." />
              <Choice
                label="Profile"
                value={form.profile}
                options={[["standard", "standard (Standard Webhooks)"], ["commenda", "commenda (Commenda's event objects)"]]}
                onChange={(profile) => set({ profile })}
                wrong={at("body.profile")}
                hint="The form of body and signature. It can't be changed later."
              />
            </>
          )}
          {form.profile === "standard" && (
            <fieldset className="field">
              <legend>Signatures in webhook-signature</legend>
              <Check label="v1: HMAC-SHA-256 with the secret" checked={form.hmac} onChange={(hmac) => set({ hmac })} />
              <Check label="v1a: Ed25519, verified with public keys" checked={form.ed25519} onChange={(ed25519) => set({ ed25519 })} />
              <Wrong>{at("body.signature_schemes")}</Wrong>
            </fieldset>
          )}
          {form.profile === "standard" && <Check label="Send a traceparent header" hint="Your trace then continues at the receiver, if this service is traced." checked={form.trace} onChange={(trace) => set({ trace })} wrong={at("body.trace_context")} />}
        </div>
      </details>
      <ErrorBox error={error} known={known} />
      <div className="row">
        <button type="submit" className="button primary" disabled={busy || (!isNew && !dirty)}>
          {busy ? "One moment …" : verb}
        </button>
        {cancel}
      </div>
    </form>
  );
}

/** Custom headers. The API does not show the values of those that are there, so they stay or are replaced as a whole. */
function Headers({ rows, old, onChange, wrong }: { rows: HeaderRow[] | undefined; old: readonly string[]; onChange: (rows: HeaderRow[] | undefined) => void; wrong: string | undefined }) {
  if (rows === undefined) {
    return (
      <div className="field">
        <span className="strong">Custom headers</span>
        <span className="row tight">
          {old.map((h) => (
            <span key={h} className="tag mono">
              {h}: •••
            </span>
          ))}
        </span>
        <Wrong>{wrong}</Wrong>
        <div>
          <button type="button" className="button small" onClick={() => onChange(old.map((name) => ({ name, value: "" })))}>
            Replace the headers
          </button>
        </div>
        <span className="hint">Their values are not shown. To change one, give all of them again.</span>
      </div>
    );
  }
  const put = (i: number, change: Partial<HeaderRow>) => onChange(rows.map((r, j) => (i === j ? { ...r, ...change } : r)));
  return (
    <fieldset className="field">
      <legend>Custom headers</legend>
      <span className="hint">They are sent with every request, as for authentication. Their values are stored encrypted.</span>
      {rows.map((r, i) => (
        <div className="row fixed" key={i}>
          <input type="text" className="mono" style={{ width: "38%" }} aria-label={`Name of header ${i + 1}`} placeholder="Name" value={r.name} spellCheck={false} onChange={(e) => put(i, { name: e.target.value })} aria-invalid={wrong !== undefined} />
          <input type="text" className="mono" aria-label={`Value of header ${i + 1}`} placeholder="Value" value={r.value} autoComplete="off" spellCheck={false} onChange={(e) => put(i, { value: e.target.value })} />
          <button type="button" className="button icon small" aria-label={`Remove header ${i + 1}`} onClick={() => onChange(rows.filter((_, j) => j !== i))}>
            <Icon name="close" size={14} />
          </button>
        </div>
      ))}
      <Wrong>{wrong}</Wrong>
      <div className="row">
        <button type="button" className="button small" onClick={() => onChange([...rows, { name: "", value: "" }])}>
          <Icon name="plus" size={14} />
          Add a header
        </button>
        {old.length > 0 && (
          <button type="button" className="button plain small" onClick={() => onChange(undefined)}>
            Keep the present ones
          </button>
        )}
      </div>
    </fieldset>
  );
}
