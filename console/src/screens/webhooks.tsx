import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";

import { deliveries, eventTypes, pageSize, webhook, webhooks, webhookStats } from "../api/queries";
import type { Webhook } from "../api/schema";
import { useCan } from "../api/session";
import { count, sentence, share } from "../lib/numbers";
import { useScope } from "../lib/scope";
import { Empty, ErrorBox, Skeleton } from "../ui/feedback";
import { Filters, SelectFilter, TextFilter } from "../ui/filters";
import { Icon } from "../ui/icons";
import { Facts, Page, Pager, Split } from "../ui/page";
import { DeliveryState, WebhookState } from "../ui/state";
import { Table } from "../ui/table";
import { Id, Time } from "../ui/text";
import { TenantName } from "../ui/tenant";

const route = getRouteApi("/webhooks");

/** All webhooks, with how they did in the last 24 hours. */
export function Webhooks() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const scope = useScope();
  const manage = useCan("manage");
  const { active, event, profile, cursor, sel } = search;
  const found = useQuery(webhooks(scope.list, { limit: pageSize, active, event, profile, cursor }));
  const day = useQuery(webhookStats(scope.list, "24h"));
  const types = useQuery(eventTypes(scope.one));
  const counts = new Map(day.data?.webhooks.map((s) => [s.webhook_id, s]));
  const filtered = active !== undefined || event !== undefined || profile !== undefined;
  const set = (change: Partial<typeof search>) => void navigate({ search: (s) => ({ ...s, cursor: undefined, ...change }) });
  const rows = found.data?.webhooks;
  const selected = rows?.find((w) => w.id === sel);
  const empty = rows?.length === 0 && !cursor;
  return (
    <Page
      title="Webhooks"
      actions={
        manage && (
          <Link to="/webhooks/new" className="button primary">
            <Icon name="plus" />
            New webhook
          </Link>
        )
      }
    >
      <Filters clear={filtered ? () => set({ active: undefined, event: undefined, profile: undefined }) : undefined}>
        <TextFilter label="Gets event type" mono value={event} onChange={(v) => set({ event: v })} suggestions={types.data?.map((t) => t.name) ?? []} />
        <SelectFilter label="State" any="any" value={active} options={[["true", "active"], ["false", "disabled"]]} onChange={(v) => set({ active: v })} />
        <SelectFilter label="Profile" any="any" value={profile} options={[["standard", "standard"], ["momento", "momento"], ["commenda", "commenda"]]} onChange={(v) => set({ profile: v })} />
      </Filters>
      <ErrorBox error={found.error} retry={() => void found.refetch()} />
      {empty && filtered ? (
        <Empty title="No webhook matches">
          <button type="button" className="button" onClick={() => set({ active: undefined, event: undefined, profile: undefined })}>
            Clear filters
          </button>
        </Empty>
      ) : empty ? (
        <Empty title="No webhooks yet">
          <p>A webhook is a URL that gets a request for each event it subscribes to.</p>
          {manage && (
            <Link to="/webhooks/new" className="button primary">
              Create the first webhook
            </Link>
          )}
        </Empty>
      ) : (
        !(found.error && !rows) && (
          <Split
            close={() => void navigate({ search: (s) => ({ ...s, sel: undefined }) })}
            title={sel && <Title webhook={selected} id={sel} />}
            details={sel && <WebhookSummary id={sel} tenant={selected?.tenant_id ?? scope.one} />}
          >
            <Table<Webhook>
              label="Webhooks"
              rows={rows}
              id={(w) => w.id}
              current={sel}
              open={(w) => void navigate({ search: (s) => ({ ...s, sel: w.id }), replace: sel !== undefined })}
              columns={[
                {
                  head: "Webhook",
                  lead: true,
                  cell: (w) => (
                    <Link to="/webhooks/$id" params={{ id: w.id }} search={{ of: w.tenant_id }} className="clip" title={w.url}>
                      <span className="strong">{w.description || w.url}</span>
                      {w.description && <span className="muted small"> {w.url}</span>}
                    </Link>
                  ),
                },
                { head: "State", cell: (w) => <WebhookState webhook={w} /> },
                scope.all && { head: "Tenant", cell: (w: Webhook) => <TenantName id={w.tenant_id} /> },
                !sel && { head: "Events", cell: (w: Webhook) => <Subscriptions events={w.events} /> },
                !sel && { head: "Delivered, 24 h", num: true, cell: (w: Webhook) => (counts.has(w.id) ? count(counts.get(w.id)!.delivered) : day.data && day.data.webhooks.length < 100 ? "0" : "–") },
                {
                  head: "Attempts ok",
                  num: true,
                  cell: (w) => {
                    const c = counts.get(w.id);
                    return c ? (share(c.attempts - c.failed_attempts, c.attempts) ?? "–") : "–";
                  },
                },
                !sel && { head: "Created", num: true, wideOnly: true, cell: (w: Webhook) => <Time at={w.created_at} /> },
              ]}
            />
            <Pager cursor={cursor} next={found.data?.next_cursor} rows={rows?.length} limit={pageSize} />
          </Split>
        )
      )}
    </Page>
  );
}

/** What a webhook subscribes to: the first, and how many more. */
export function Subscriptions({ events }: { events: readonly string[] }) {
  return (
    <span className="row tight fixed" title={events.join("\n")}>
      <span className="tag mono clip" style={{ maxWidth: 180 }}>{events[0] === "*" ? "* all" : events[0]}</span>
      {events.length > 1 && <span className="muted small nowrap">+{events.length - 1}</span>}
    </span>
  );
}

function Title({ webhook: w, id }: { webhook: Webhook | undefined; id: string }) {
  return (
    <>
      <Link to="/webhooks/$id" params={{ id }} search={{ of: w?.tenant_id }} className="strong wrap">
        {w?.description || w?.url || id}
      </Link>
      {w && <div><WebhookState webhook={w} /></div>}
    </>
  );
}

/** A webhook beside the list: what it is, and its newest deliveries. */
function WebhookSummary({ id, tenant }: { id: string; tenant: string | undefined }) {
  const found = useQuery(webhook(tenant, id));
  const newest = useQuery(deliveries(tenant, { webhook_id: id, limit: 10 }));
  const w = found.data;
  if (!w) return found.error ? <ErrorBox error={found.error} /> : <Skeleton />;
  return (
    <>
      {w.status_reason && <p className="box warn">{sentence(w.status_reason)}</p>}
      <Facts
        facts={[
          ["URL", <span className="mono wrap">{w.url}</span>],
          ["Id", <Id value={w.id} />],
          ["Events", <span className="row tight">{w.events.slice(0, 12).map((e) => <span key={e} className="tag mono">{e}</span>)}{w.events.length > 12 && <span className="muted small">and {w.events.length - 12} more</span>}</span>],
          ["Attempts", `at most ${w.max_attempts}, ${w.timeout_seconds} s each`],
          ["Changed", <Time at={w.updated_at} />],
        ]}
      />
      <div className="row">
        <Link to="/webhooks/$id" params={{ id }} search={{ of: tenant }} className="button">Open</Link>
        <Link to="/webhooks/$id" params={{ id }} search={{ of: tenant, tab: "test" }} className="button">Test</Link>
        <Link to="/deliveries" search={{ webhook_id: id, ...(tenant && { tenant }) }} className="button">Deliveries</Link>
      </div>
      <h3>Newest deliveries</h3>
      <ErrorBox error={newest.error} />
      {newest.data?.deliveries.length === 0 && <p className="muted">None yet. Send a test to see one.</p>}
      <ul className="stack tight">
        {newest.data?.deliveries.map((d) => (
          <li key={d.id} className="row">
            <DeliveryState delivery={d} />
            <Link to="/deliveries/$id" params={{ id: d.id }} search={{ of: tenant }} className="mono clip grow">{d.event_type}</Link>
            <span className="muted small"><Time at={d.created_at} /></span>
          </li>
        ))}
      </ul>
    </>
  );
}
