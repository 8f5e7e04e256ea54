import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useState } from "react";

import { ShownOnce } from "../accounts/once";
import { TenantState } from "../accounts/state";
import { api, ApiError, unwrap } from "../api/client";
import * as queries from "../api/queries";
import type { CreatedTenant, Tenant } from "../api/schema";
import { useOperator } from "../api/session";
import { Dialog } from "../ui/dialog";
import { Empty, ErrorBox } from "../ui/feedback";
import { Filters, SelectFilter, TextFilter } from "../ui/filters";
import { Field } from "../ui/form";
import { shortId } from "../ui/names";
import { Page, Pager } from "../ui/page";
import { Table } from "../ui/table";
import { Id, Time } from "../ui/text";

const route = getRouteApi("/tenants");

/** The accounts of the service, for operators. */
export function Tenants() {
  const { name, status, cursor } = route.useSearch();
  const navigate = route.useNavigate();
  const operator = useOperator();
  const [creating, setCreating] = useState(false);
  const list = useQuery({
    ...queries.tenants({ limit: queries.pageSize, ...(name ? { name } : {}), ...(status ? { status } : {}), ...(cursor ? { cursor } : {}) }),
    enabled: operator,
  });
  const rows = list.data?.tenants;
  const filtered = name !== undefined || status !== undefined;
  const filter = (change: { name?: string; status?: typeof status }) => void navigate({ search: (prev) => ({ ...prev, cursor: undefined, ...change }) });
  const create = operator ? (
    <button type="button" className="button primary" onClick={() => setCreating(true)}>
      New tenant
    </button>
  ) : undefined;
  if (!operator) {
    return (
      <Page title="Tenants">
        <Empty title="For operators">
          <p>Only a platform key sees the tenants of this service.</p>
        </Empty>
      </Page>
    );
  }
  return (
    <Page title="Tenants" sub="A tenant is one of your customers: its webhooks, events and keys are its own." actions={create}>
      <Filters clear={filtered ? () => filter({ name: undefined, status: undefined }) : undefined}>
        <TextFilter label="Name begins with" value={name} onChange={(n) => filter({ name: n })} />
        <SelectFilter label="State" any="any" value={status} options={[["active", "active"], ["suspended", "suspended"], ["deleting", "being deleted"]]} onChange={(s) => filter({ status: s })} />
      </Filters>
      {list.error ? <ErrorBox error={list.error} retry={() => void list.refetch()} /> : null}
      {rows?.length === 0 && !list.error ? (
        <Empty title={list.data?.next_cursor ? "Nothing found yet" : filtered ? "No tenants match" : "No tenants yet"} action={filtered ? undefined : create}>
          <p>{filtered ? "Names are compared by their beginning, in the same case." : "Make one for each customer, here or from your backend by PUT /v1/tenants/{your id of it}."}</p>
        </Empty>
      ) : list.error && rows === undefined ? null : (
        <Table<Tenant>
          label="Tenants"
          rows={rows}
          id={(t) => t.id}
          open={(t) => void navigate({ to: "/tenants/$id", params: { id: t.id } })}
          columns={[
            { head: "State", cell: (t) => <TenantState tenant={t} /> },
            {
              head: "Name",
              lead: true,
              cell: (t) => (
                <Link className="clip" to="/tenants/$id" params={{ id: t.id }} title={t.name}>
                  {t.name}
                </Link>
              ),
            },
            { head: "Your id", cell: (t) => (t.external_id ? <Id value={t.external_id} /> : null) },
            { head: "Tenant", cell: (t) => <Id value={t.id} shown={shortId(t.id)} /> },
            { head: "Created", num: true, cell: (t) => <Time at={t.created_at} /> },
          ]}
        />
      )}
      <Pager cursor={cursor} next={list.data?.next_cursor} rows={rows?.length} limit={queries.pageSize} />
      {creating ? <Create close={() => setCreating(false)} /> : null}
    </Page>
  );
}

function Create({ close }: { close: () => void }) {
  const client = useQueryClient();
  const navigate = route.useNavigate();
  const [name, setName] = useState("");
  const [external, setExternal] = useState("");
  const [made, setMade] = useState<CreatedTenant>();
  const create = useMutation({
    mutationFn: () => unwrap(api.POST("/v1/tenants", { body: { name: name.trim(), ...(external.trim() === "" ? {} : { external_id: external.trim() }) } })),
    onSuccess: (t) => {
      setMade(t);
      void client.invalidateQueries({ queryKey: ["tenants"] });
    },
  });
  const wrong = create.error instanceof ApiError ? create.error : undefined;
  if (made) {
    return (
      <ShownOnce title={`${made.name} is made`} label="Admin key" value={made.api_key.key} close={() => void navigate({ to: "/tenants/$id", params: { id: made.id } })}>
        <p className="muted">It is an admin key of the tenant. Your own backend needs none: a platform key acts for every tenant.</p>
      </ShownOnce>
    );
  }
  return (
    <Dialog title="New tenant" open onClose={close}>
      <form
        className="stack"
        onSubmit={(e) => {
          e.preventDefault();
          create.mutate();
        }}
      >
        <Field label="Name" required maxLength={100} autoFocus value={name} onChange={(e) => setName(e.target.value)} wrong={wrong?.at("body.name")} />
        <Field label="Your id of it" maxLength={255} spellCheck={false} value={external} onChange={(e) => setExternal(e.target.value)} wrong={wrong?.at("body.external_id")} hint="Optional. It stands for the tenant everywhere, and can't be changed." />
        <ErrorBox error={create.error} known={["body.name", "body.external_id"]} />
        <div className="row">
          <button type="submit" className="button primary" disabled={create.isPending}>
            Create
          </button>
        </div>
      </form>
    </Dialog>
  );
}
