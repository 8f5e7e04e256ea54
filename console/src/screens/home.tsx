import { queryOptions, useQueries, useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";

import { deliveries, webhook, webhooks } from "../api/queries";
import type { Delivery, Webhook } from "../api/schema";
import { useCan } from "../api/session";
import { count, plural, sentence } from "../lib/numbers";
import { rangeSince } from "../lib/range";
import { useScope } from "../lib/scope";
import { relative, useNow } from "../lib/time";
import { Empty, ErrorBox, Skeleton } from "../ui/feedback";
import { Card, Figure, Page } from "../ui/page";
import { State, waitWords, WebhookState } from "../ui/state";
import { RangePresets, StatCharts, StatFigures } from "../ui/stats";
import { Code, Time } from "../ui/text";

const route = getRouteApi("/");

/** What needs attention, and how deliveries go. */
export function Home() {
  const { range = "24h" } = route.useSearch();
  const navigate = route.useNavigate();
  const scope = useScope();
  const manage = useCan("manage");
  const any = useQuery(webhooks(scope.list, { limit: 1 }));
  return (
    <Page
      title="Home"
      actions={
        <RangePresets value={range} onChange={(r) => void navigate({ search: (s) => ({ ...s, range: r }) })} />
      }
    >
      {any.data?.webhooks.length === 0 ? (
        <FirstWebhook manage={manage} />
      ) : (
        <>
          <StatFigures tenant={scope.list} range={range} more={<Outstanding />} />
          <Attention range={range} />
          <StatCharts tenant={scope.list} range={range} />
        </>
      )}
    </Page>
  );
}

/** What is outstanding, and since when: the age of the oldest, to a step. */
function Outstanding() {
  const scope = useScope();
  const now = useNow();
  const found = useQuery(deliveries(scope.list, { final: "false", limit: 100 }));
  const oldest = useQuery({
    ...oldestOutstanding(scope.list),
    enabled: (found.data?.deliveries.length ?? 0) > 0,
  });
  const rows = found.data?.deliveries;
  const n = rows?.length ?? 0;
  const all = found.data?.next_cursor === null;
  const held = rows?.filter((d) => d.waiting).length ?? 0;
  // With all of them here, the oldest is known exactly.
  const last = all ? rows?.[n - 1]?.created_at : oldest.data;
  return (
    <Figure
      label="Outstanding"
      value={
        <Link to="/deliveries" search={{ final: "false" }}>
          {rows ? `${count(n)}${all ? "" : "+"}` : "–"}
        </Link>
      }
      note={
        n === 0 ? " " : (
          <>
            {held > 0 && `${count(held)}${all ? "" : "+"} held`}
            {held > 0 && last !== undefined && " · "}
            {last !== undefined && <>oldest from {relative(new Date(last), now)}{all ? "" : " or before"}</>}
          </>
        )
      }
    />
  );
}

// Lists are newest first, so the oldest is looked for by age.
const ages = [86_400_000, 6 * 3_600_000, 3_600_000, 15 * 60_000, 5 * 60_000, 60_000];

function oldestOutstanding(tenant: string | undefined) {
  return queryOptions({
    queryKey: ["oldest-outstanding", tenant],
    queryFn: async ({ client }) => {
      for (const age of ages) {
        const until = new Date(Date.now() - age).toISOString();
        const page = await client.fetchQuery({ ...deliveries(tenant, { final: "false", limit: 1, until }), staleTime: 0 });
        const first = page.deliveries[0];
        if (first) return first.created_at;
      }
      return undefined;
    },
    // Six small searches at most: not with each change.
    refetchInterval: 30_000,
    staleTime: 30_000,
  });
}

interface Failing {
  id: string;
  tenant: string | undefined;
  failed: number;
  last: Delivery;
}

/** Groups failed deliveries by webhook, the one with most first. */
export function failingWebhooks(rows: readonly Delivery[]): Failing[] {
  const groups = new Map<string, Failing>();
  for (const d of rows) {
    if (d.test) continue;
    const g = groups.get(d.webhook_id);
    if (g) g.failed++;
    else groups.set(d.webhook_id, { id: d.webhook_id, tenant: d.tenant_id, failed: 1, last: d });
  }
  return [...groups.values()].sort((a, b) => b.failed - a.failed);
}

function Attention({ range }: { range: "1h" | "24h" | "7d" | "30d" }) {
  const scope = useScope();
  const since = rangeSince(range);
  const failed = useQuery(deliveries(scope.list, { status: ["failed", "timed_out", "dropped"], since, limit: 100 }));
  const open = useQuery(deliveries(scope.list, { final: "false", limit: 100 }));
  const off = useQuery(webhooks(scope.list, { active: "false", limit: 20 }));
  const groups = failingWebhooks(failed.data?.deliveries ?? []).slice(0, 8);
  const named = useQueries({ queries: groups.map((g) => ({ ...webhook(g.tenant ?? scope.one, g.id), retry: false })) });
  const held = new Map<string, { n: number; first: Delivery }>();
  for (const d of open.data?.deliveries ?? []) {
    if (!d.waiting) continue;
    const h = held.get(d.webhook_id);
    if (h) {
      h.n++;
      h.first = d;
    } else held.set(d.webhook_id, { n: 1, first: d });
  }
  // Of more than a hundred that are outstanding, only the newest are here.
  const more = open.data?.next_cursor ? "At least" : "";
  const error = failed.error ?? open.error ?? off.error;
  const known = failed.data && open.data && off.data;
  const heldOnly = [...held].filter(([id]) => !groups.some((g) => g.id === id)).slice(0, 8);
  const nothing = known && groups.length === 0 && heldOnly.length === 0 && off.data.webhooks.length === 0;
  return (
    <Card title="Needs attention" flush>
      {error && !known ? (
        <div className="body"><ErrorBox error={error} /></div>
      ) : !known ? (
        <div className="body"><Skeleton lines={4} /></div>
      ) : nothing ? (
        <div className="body row">
          <State tone="ok">All well</State>
          <span className="muted">No failed deliveries, nothing held, no disabled webhooks.</span>
        </div>
      ) : (
        <ul className="attention">
          {groups.map((g, i) => (
            <Item key={g.id} webhook={named[i]?.data} gone={named[i]?.isError} id={g.id} tenant={g.tenant}>
              <Link to="/deliveries" search={{ webhook_id: g.id, status: ["failed", "timed_out", "dropped"], since, ...(g.tenant && { tenant: g.tenant }) }}>
                {plural(g.failed, "failed delivery", "failed deliveries")}
              </Link>
              {", the last "}
              <Link to="/deliveries/$id" params={{ id: g.last.id }} search={{ of: g.tenant }}>
                <Time at={g.last.created_at} />
              </Link>
              {g.last.explanation && <>: {g.last.explanation.summary}</>}
              {held.has(g.id) && <> {more} {plural(held.get(g.id)!.n, "delivery is", "deliveries are")} held.</>}
            </Item>
          ))}
          {heldOnly.map(([id, h]) => (
            <HeldItem key={id} id={id} tenant={h.first.tenant_id} n={h.n} more={more} reason={h.first.waiting?.reason} since={h.first.waiting?.since} />
          ))}
          {off.data.webhooks.map((w) => (
            <Item key={`off-${w.id}`} webhook={w} id={w.id} tenant={w.tenant_id}>
              {sentence(w.status_reason ?? "it gets no events")} Changed <Time at={w.updated_at} />.
            </Item>
          ))}
        </ul>
      )}
    </Card>
  );
}

function HeldItem({ id, tenant, n, more, reason, since }: { id: string; tenant: string | undefined; n: number; more: string; reason: string | undefined; since: string | undefined }) {
  const scope = useScope();
  const found = useQuery({ ...webhook(tenant ?? scope.one, id), retry: false });
  return (
    <Item webhook={found.data} gone={found.isError} id={id} tenant={tenant}>
      <Link to="/deliveries" search={{ webhook_id: id, final: "false", ...(tenant && { tenant }) }}>{more} {plural(n, "delivery", "deliveries")} held</Link>
      {reason && <>, because {waitWords[reason] ?? reason}</>}
      {since && <>, since <Time at={since} /></>}.
    </Item>
  );
}

function Item({ webhook: w, gone = false, id, tenant, children }: { webhook: Webhook | undefined; gone?: boolean; id: string; tenant: string | undefined; children: React.ReactNode }) {
  return (
    <li>
      <div>{w ? <WebhookState webhook={w} /> : gone && <State tone="off">Deleted</State>}</div>
      <div className="grow">
        <Link to="/webhooks/$id" params={{ id }} search={{ of: tenant }} className="strong wrap">
          {w?.description || w?.url || id}
        </Link>
        {w?.description && <div className="muted small wrap">{w.url}</div>}
        <div className="small wrap">{children}</div>
      </div>
    </li>
  );
}

function FirstWebhook({ manage }: { manage: boolean }) {
  return (
    <Empty title="No webhooks yet">
      <p>A webhook is a URL of yours that gets a request for each event it subscribes to. Create one, send it a test, and see here what was sent and what came back.</p>
      {manage && (
        <Link to="/webhooks/new" className="button primary">
          Create the first webhook
        </Link>
      )}
      <p>Then publish an event:</p>
      <Code label="command" text={publishCommand()} />
    </Empty>
  );
}

/** A command that publishes a sample event to this server. */
export function publishCommand(type = "user.created", data: unknown = { id: "user_123", name: "John Doe", email: "john@example.com", status: "active" }): string {
  return `curl ${globalThis.location?.origin ?? ""}/v1/events \\
  -H "Authorization: Bearer $GRAPNEL_KEY" \\
  -H 'Content-Type: application/json' \\
  -d '${JSON.stringify({ type, data }).replaceAll("'", "'\\''")}'`;
}
