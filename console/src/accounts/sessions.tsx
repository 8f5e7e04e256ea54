import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { acting, api, ApiError, unwrap } from "../api/client";
import type { CreatedPortalSession, PortalCapability as Capability, PortalSession } from "../api/schema";
import { pageSize } from "../api/queries";
import { useNow } from "../lib/time";
import { ConfirmDialog, Dialog } from "../ui/dialog";
import { Empty, ErrorBox, toast, useDone, Wrong } from "../ui/feedback";
import { Check, Choice, Field } from "../ui/form";
import { shortId } from "../ui/names";
import { Pager } from "../ui/page";
import { State } from "../ui/state";
import { Table } from "../ui/table";
import { Id, Time } from "../ui/text";
import { ShownOnce } from "./once";
import * as queries from "./queries";

/**
 * Sessions lists the links that were made for a tenant, and makes and revokes them. list is the value for lists: with "*"
 * those of all tenants are shown, and a new one asks for its tenant.
 */
export function Sessions({ tenant, all = false, cursor, own }: { tenant: string | undefined; all?: boolean; cursor?: string; own?: string | undefined }) {
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<PortalSession | "all">();
  const done = useDone();
  const now = useNow();
  const list = useQuery(queries.portalSessions(tenant, { limit: pageSize, ...(cursor ? { cursor } : {}) }));
  const rows = list.data?.portal_sessions;
  const create = (
    <button type="button" className="button primary" onClick={() => setCreating(true)}>
      Create a portal link
    </button>
  );
  return (
    <div className="stack">
      <div className="row">
        {create}
        {rows?.length && !all ? (
          <button type="button" className="button danger" onClick={() => setRevoking("all")}>
            Revoke all
          </button>
        ) : null}
      </div>
      {list.error ? <ErrorBox error={list.error} retry={() => void list.refetch()} /> : null}
      {rows?.length === 0 ? (
        <Empty title="No portal sessions">
          <p>
            A portal session is a link by which a customer sees and manages their own webhooks, without a key. Your backend makes one when the customer opens the page:
            POST /v1/portal-sessions.
          </p>
        </Empty>
      ) : list.error && rows === undefined ? null : (
        <Table<PortalSession>
          label="Portal sessions"
          keys={false}
          rows={rows}
          id={(s) => s.id}
          columns={[
            { head: "State", cell: (s) => (Date.parse(s.expires_at) <= now ? <State tone="off">Expired</State> : <State tone="ok">Valid</State>) },
            { head: "Name", lead: true, cell: (s) => <span className="clip" title={s.name}>{s.name ?? <span className="muted">without a name</span>}</span> },
            all && { head: "Tenant", cell: (s) => <Id value={s.tenant} shown={shortId(s.tenant)} /> },
            {
              head: "May",
              cell: (s) => (
                <span className="row tight">
                  {s.capabilities.map((c) => (
                    <span key={c} className="tag">
                      {c}
                    </span>
                  ))}
                </span>
              ),
            },
            { head: "Session", cell: (s) => <Id value={s.id} shown={shortId(s.id)} /> },
            { head: "Created", num: true, cell: (s) => <Time at={s.created_at} /> },
            { head: "Ends", num: true, cell: (s) => <Time at={s.expires_at} /> },
            {
              head: "Actions",
              cell: (s) => (
                <button type="button" className="button small danger" onClick={() => setRevoking(s)}>
                  Revoke
                </button>
              ),
            },
          ]}
        />
      )}
      <Pager cursor={cursor} next={list.data?.next_cursor} rows={rows?.length} limit={pageSize} />
      {creating ? <Create tenant={all ? undefined : (own ?? tenant)} close={() => setCreating(false)} /> : null}
      <ConfirmDialog
        title={revoking === "all" ? "Revoke all sessions" : "Revoke the session"}
        open={revoking !== undefined}
        onClose={() => setRevoking(undefined)}
        verb="Revoke"
        danger
        run={() =>
          revoking === "all"
            ? unwrap(api.DELETE("/v1/portal-sessions", { ...acting(tenant) })).then((r) => done(`${r.revoked} revoked`))
            : unwrap(api.DELETE("/v1/portal-sessions/{id}", { ...acting(all ? (revoking as PortalSession).tenant : tenant), params: { path: { id: revoking!.id } } })).then(() => done("The session is revoked"))
        }
      >
        <p>Its link stops working within 5 seconds, in every open page too.</p>
      </ConfirmDialog>
    </div>
  );
}

const capabilities: [Capability, string, string][] = [
  ["view", "See", "Webhooks, events and deliveries. It comes with each of the others."],
  ["test", "Test", "Send test events."],
  ["retry", "Send again", "Retry deliveries and replay events."],
  ["manage", "Manage", "Create, change, pause and delete webhooks."],
  ["secrets", "See secrets", "Signing secrets and the values of custom headers; rotate them."],
];

const lengths = [
  ["3600", "1 hour"],
  ["28800", "8 hours"],
  ["86400", "1 day"],
  ["604800", "7 days"],
] as const;

function Create({ tenant, close }: { tenant: string | undefined; close: () => void }) {
  const client = useQueryClient();
  const [whose, setWhose] = useState("");
  const [name, setName] = useState("");
  const [chosen, setChosen] = useState<readonly Capability[]>(["view", "test", "retry", "manage"]);
  const [length, setLength] = useState<(typeof lengths)[number][0]>("3600");
  const [accent, setAccent] = useState("");
  const [logo, setLogo] = useState("");
  const [mode, setMode] = useState<"system" | "light" | "dark">("system");
  const [made, setMade] = useState<CreatedPortalSession>();
  const create = useMutation({
    mutationFn: () =>
      unwrap(
        api.POST("/v1/portal-sessions", {
          body: {
            tenant: tenant ?? whose.trim(),
            capabilities: [...chosen],
            expires_in: Number(length),
            ...(name.trim() === "" ? {} : { name: name.trim() }),
            ...(accent.trim() === "" && logo.trim() === "" && mode === "system"
              ? {}
              : { theme: { mode, ...(accent.trim() === "" ? {} : { accent: accent.trim() }), ...(logo.trim() === "" ? {} : { logo_text: logo.trim() }) } }),
          },
        }),
      ),
    onSuccess: (s) => {
      setMade(s);
      void client.invalidateQueries({ queryKey: ["portal-sessions"] });
      toast("The link is made");
    },
  });
  if (made) {
    return (
      <ShownOnce title="Portal link" label="Link" value={made.url} close={close}>
        <p className="muted">
          Whoever has the link may do what it permits, until <Time at={made.expires_at} />.
        </p>
      </ShownOnce>
    );
  }
  const wrong = create.error instanceof ApiError ? create.error : undefined;
  return (
    <Dialog title="Create a portal link" open onClose={close}>
      <form
        className="stack"
        onSubmit={(e) => {
          e.preventDefault();
          create.mutate();
        }}
      >
        {tenant === undefined ? (
          <Field label="Tenant" required spellCheck={false} value={whose} onChange={(e) => setWhose(e.target.value)} wrong={wrong?.at("body.tenant") ?? (wrong?.status === 404 ? wrong.message : undefined)} hint="Its id, or your own id of it." />
        ) : null}
        <Field label="Name" maxLength={100} value={name} onChange={(e) => setName(e.target.value)} wrong={wrong?.at("body.name")} hint="Optional. For whom it is." />
        <fieldset className="field">
          <legend>What it permits</legend>
          {capabilities.map(([value, label, hint]) => (
            <Check
              key={value}
              label={label}
              hint={hint}
              checked={value === "view" || chosen.includes(value)}
              disabled={value === "view"}
              onChange={(on) => setChosen(on ? [...chosen, value] : chosen.filter((c) => c !== value))}
            />
          ))}
          <Wrong>{wrong?.at("body.capabilities")}</Wrong>
        </fieldset>
        <Choice label="Ends after" value={length} options={lengths} onChange={setLength} wrong={wrong?.at("body.expires_in")} />
        <details>
          <summary>Look</summary>
          <div className="stack">
            <Field label="Title" maxLength={100} value={logo} onChange={(e) => setLogo(e.target.value)} wrong={wrong?.at("body.theme.logo_text")} hint="In place of Grapnel." />
            <Field label="Colour" placeholder="#1f5fd0" spellCheck={false} value={accent} onChange={(e) => setAccent(e.target.value)} wrong={wrong?.at("body.theme.accent")} />
            <Choice label="Mode" value={mode} options={[["system", "as the system"], ["light", "light"], ["dark", "dark"]]} onChange={setMode} />
          </div>
        </details>
        <ErrorBox error={create.error} known={["body.tenant", "body.name", "body.capabilities", "body.expires_in", "body.theme.logo_text", "body.theme.accent"]} />
        <div className="row">
          <button type="submit" className="button primary" disabled={create.isPending}>
            Create
          </button>
        </div>
      </form>
    </Dialog>
  );
}
