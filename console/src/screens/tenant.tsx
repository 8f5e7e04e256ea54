import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useRef, useState } from "react";

import * as queries from "../accounts/queries";
import { Sessions } from "../accounts/sessions";
import { TenantState } from "../accounts/state";
import { Usage } from "../accounts/usage";
import { api, ApiError, unwrap } from "../api/client";
import type { Tenant, TenantDeletion } from "../api/schema";
import { count } from "../lib/numbers";
import { ConfirmDialog, Dialog } from "../ui/dialog";
import { Empty, ErrorBox, Progress, Skeleton, toastError, useDone } from "../ui/feedback";
import { Field } from "../ui/form";
import { Card, Facts, Page, TabLinks } from "../ui/page";
import { ExactTime, Id, Time } from "../ui/text";

const route = getRouteApi("/tenants/$id");

/** One account: what it may do, what it uses, and the links that were made for it. */
export function TenantScreen() {
  const { id } = route.useParams();
  const { tab = "overview" } = route.useSearch();
  const found = useQuery(queries.tenant(id));
  const gone = found.error instanceof ApiError && found.error.status === 404;
  // What was shown last stays while it is being deleted; a 404 then says that it is done.
  const last = useRef<Tenant>(undefined);
  if (found.data) {
    last.current = found.data;
  }
  const t = gone ? undefined : (found.data ?? last.current);
  if (gone && last.current?.status === "deleting") {
    return (
      <Page title={last.current.name} crumb={<Link to="/tenants">Tenants</Link>}>
        <Empty title={`${last.current.name} has been deleted`}>
          <p>Its external id is free again. Its usage and its audit log stay for their time.</p>
          <Link className="button" to="/tenants">
            Go to the tenants
          </Link>
        </Empty>
      </Page>
    );
  }
  return (
    <Page
      title={t?.name ?? "Tenant"}
      heading={
        <span className="row">
          {t?.name ?? "Tenant"} {t ? <TenantState tenant={t} /> : null}
        </span>
      }
      crumb={<Link to="/tenants">Tenants</Link>}
      actions={t && t.status !== "deleting" ? <Actions tenant={t} /> : undefined}
    >
      {t === undefined ? (
        found.error ? (
          <ErrorBox error={found.error} retry={() => void found.refetch()} />
        ) : (
          <Skeleton lines={10} />
        )
      ) : t.deletion ? (
        <Deletion of={t.deletion} />
      ) : (
        <>
          {t.status === "suspended" ? (
            <p className="box warn">Nothing is published or sent for this tenant. Its deliveries wait, and nothing is lost.</p>
          ) : null}
          <TabLinks
            value={tab}
            tabs={[
              ["overview", "Overview"],
              ["usage", "Usage"],
              ["portal", "Portal sessions"],
            ]}
          />
          {tab === "usage" ? <Usage tenant={t.id} /> : tab === "portal" ? <Sessions tenant={t.id} /> : <Overview tenant={t} />}
        </>
      )}
    </Page>
  );
}

function Overview({ tenant: t }: { tenant: Tenant }) {
  const [limits, setLimits] = useState(false);
  const pairs = Object.entries(t.metadata);
  return (
    <div className="grid">
      <Card title="Account">
        <Facts
          facts={[
            ["Tenant", <Id key="i" value={t.id} />],
            ["Your id", t.external_id ? <Id key="e" value={t.external_id} /> : <span className="muted">none</span>],
            ["Created", <ExactTime key="c" at={t.created_at} />],
            ["Changed", <Time key="u" at={t.updated_at} />],
          ]}
        />
      </Card>
      <Card
        title="Limits"
        actions={
          <button type="button" className="button small" onClick={() => setLimits(true)}>
            Change
          </button>
        }
      >
        <Facts
          facts={[
            ["Webhooks", limit(t.limits.max_webhooks)],
            ["Events per second", limit(t.limits.publish_rate)],
          ]}
        />
      </Card>
      <Card title="Look at">
        <ul className="stack tight">
          <li>
            <Link to="/webhooks" search={{ tenant: t.id }}>Its webhooks</Link>
          </li>
          <li>
            <Link to="/deliveries" search={{ tenant: t.id }}>Its deliveries</Link>
          </li>
          <li>
            <Link to="/events" search={{ tenant: t.id }}>Its events</Link>
          </li>
          <li>
            <Link to="/keys" search={{ tenant: t.id }}>Its keys</Link>
          </li>
          <li>
            <Link to="/audit-log" search={{ tenant: t.id }}>Its audit log</Link>
          </li>
        </ul>
      </Card>
      {pairs.length > 0 ? (
        <Card title="Notes">
          <Facts facts={pairs.map(([k, v]) => [k, <span key={k} className="wrap">{v}</span>])} />
        </Card>
      ) : null}
      {limits ? <Limits tenant={t} close={() => setLimits(false)} /> : null}
    </div>
  );
}

function limit(n: number | undefined): React.ReactNode {
  return n === undefined ? <span className="muted">default of the service</span> : n === 0 ? "no limit" : count(n);
}

function Limits({ tenant: t, close }: { tenant: Tenant; close: () => void }) {
  const done = useDone();
  const [hooks, setHooks] = useState(t.limits.max_webhooks?.toString() ?? "");
  const [rate, setRate] = useState(t.limits.publish_rate?.toString() ?? "");
  const value = (text: string) => (text.trim() === "" ? null : Number(text));
  const change = useMutation({
    mutationFn: () => unwrap(api.PATCH("/v1/tenants/{tenant}", { params: { path: { tenant: t.id } }, body: { limits: { max_webhooks: value(hooks), publish_rate: value(rate) } } })),
    onSuccess: () => {
      done("The limits are changed");
      close();
    },
  });
  const wrong = change.error instanceof ApiError ? change.error : undefined;
  return (
    <Dialog title={`Limits of ${t.name}`} open onClose={close}>
      <form
        className="stack"
        onSubmit={(e) => {
          e.preventDefault();
          change.mutate();
        }}
      >
        <Field label="Webhooks at most" type="number" min={0} value={hooks} onChange={(e) => setHooks(e.target.value)} wrong={wrong?.at("body.limits.max_webhooks")} hint="Empty: the default of the service. 0: no limit." />
        <Field label="Events per second at most" type="number" min={0} value={rate} onChange={(e) => setRate(e.target.value)} wrong={wrong?.at("body.limits.publish_rate")} hint="Empty: the default of the service. 0: no limit. In force within a minute." />
        <ErrorBox error={change.error} known={["body.limits.max_webhooks", "body.limits.publish_rate"]} />
        <div className="row">
          <button type="submit" className="button primary" disabled={change.isPending}>
            Change
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** The tenant default has an id of the time 0, and can't be deleted. */
function isDefault(id: string): boolean {
  return id.startsWith("ten_0000000000");
}

function Actions({ tenant: t }: { tenant: Tenant }) {
  const done = useDone();
  const { id } = route.useParams();
  const client = useQueryClient();
  const [asking, setAsking] = useState<"suspend" | "delete">();
  // A small tenant is gone before it is read again: the answer is what says that it is being deleted.
  const deleted = (answer: Tenant) => {
    client.setQueryData(queries.tenant(id).queryKey, answer);
    done(`${t.name} is being deleted`);
  };
  const path = { params: { path: { tenant: t.id } } };
  const activate = useMutation({
    mutationFn: () => unwrap(api.PATCH("/v1/tenants/{tenant}", { ...path, body: { status: "active" } })),
    onSuccess: () => done(`${t.name} is active`),
    onError: toastError,
  });
  return (
    <>
      <Link className="button" to="/" search={{ tenant: t.id }}>
        Look at this tenant
      </Link>
      {t.status === "suspended" ? (
        <button type="button" className="button primary" disabled={activate.isPending} onClick={() => activate.mutate()}>
          Make active
        </button>
      ) : (
        <button type="button" className="button" onClick={() => setAsking("suspend")}>
          Suspend
        </button>
      )}
      {isDefault(t.id) ? null : (
        <button type="button" className="button danger" onClick={() => setAsking("delete")}>
          Delete
        </button>
      )}
      <ConfirmDialog
        title={`Suspend ${t.name}`}
        open={asking === "suspend"}
        onClose={() => setAsking(undefined)}
        verb="Suspend"
        run={() => unwrap(api.PATCH("/v1/tenants/{tenant}", { ...path, body: { status: "suspended" } })).then(() => done(`${t.name} is suspended`))}
      >
        <p>Nothing is published or sent for it until it is active again. Its deliveries wait, and nothing is lost.</p>
      </ConfirmDialog>
      <ConfirmDialog
        title={`Delete ${t.name}`}
        open={asking === "delete"}
        onClose={() => setAsking(undefined)}
        verb="Delete"
        danger
        typed={t.name}
        run={() => unwrap(api.DELETE("/v1/tenants/{tenant}", path)).then(deleted)}
      >
        <p>Its webhooks, keys, events with their payloads and deliveries with their logs are erased. It can't be called back.</p>
      </ConfirmDialog>
    </>
  );
}

const phases = ["canceling", "erasing", "finishing"] as const;
const phaseWords = {
  canceling: "Webhooks are deleted, and what is pending is canceled.",
  erasing: "Events are erased with their payloads, and deliveries with their logs.",
  finishing: "Keys, event types, topics and the rest are deleted.",
};

function Deletion({ of: d }: { of: TenantDeletion }) {
  const at = phases.indexOf(d.phase) + 1;
  return (
    <Card title="Being deleted">
      <div className="stack">
        <p className="row apart">
          <span>{phaseWords[d.phase] ?? d.phase}</span>
          <span className="muted">
            Step {at} of {phases.length}
          </span>
        </p>
        <Progress label="Steps of the deletion" all={phases.length} parts={[{ n: Math.max(0, at - 0.5) }]} />
        <Facts
          facts={[
            ["Webhooks deleted", count(d.webhooks)],
            ["Events erased", count(d.erased)],
            ["Deliveries erased", `${count(d.deliveries)}, of which ${count(d.canceled)} were pending`],
            ["Requested", <Time key="r" at={d.requested_at} />],
            ["Last step", <Time key="u" at={d.updated_at} />],
            ["Workflow", <code key="w" className="wrap">{d.workflow_id}</code>],
          ]}
        />
      </div>
    </Card>
  );
}
