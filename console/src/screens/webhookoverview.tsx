import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";

import { acting, api, unwrap } from "../api/client";
import { deliveries } from "../api/queries";
import type { Webhook } from "../api/schema";
import { useCan } from "../api/session";
import { useScope } from "../lib/scope";
import { ErrorBox, Skeleton } from "../ui/feedback";
import { Card, Facts } from "../ui/page";
import { DeliveryState, waitWords } from "../ui/state";
import { RangePresets, StatCharts, StatFigures } from "../ui/stats";
import { Table } from "../ui/table";
import { ExactTime, Id, Secret, Time } from "../ui/text";

const route = getRouteApi("/webhooks/$id");

export function WebhookOverview({ webhook: w }: { webhook: Webhook }) {
  const { range = "24h" } = route.useSearch();
  const navigate = route.useNavigate();
  const scope = useScope();
  return (
    <>
      <div className="row apart">
        <h2>Health</h2>
        <RangePresets value={range} onChange={(r) => void navigate({ search: (s) => ({ ...s, range: r }) })} />
      </div>
      <StatFigures tenant={scope.one} range={range} webhook={w.id} />
      <StatCharts tenant={scope.one} range={range} webhook={w.id} />
      <Coming webhook={w} />
      <Settings webhook={w} />
    </>
  );
}

/** The deliveries with an attempt to come, the next one first. */
function Coming({ webhook: w }: { webhook: Webhook }) {
  const scope = useScope();
  const found = useQuery(deliveries(scope.one, { webhook_id: w.id, final: "false", limit: 100 }));
  const soon = (t: string | undefined) => (t === undefined ? Infinity : new Date(t).getTime());
  const rows = found.data && [...found.data.deliveries].sort((a, b) => soon(a.next_attempt_at) - soon(b.next_attempt_at));
  return (
    <Card
      title="Coming attempts"
      flush
      actions={
        rows && rows.length > 0 && (
          <Link to="/deliveries" search={{ webhook_id: w.id, final: "false", ...(scope.one && { tenant: scope.one }) }} className="small">
            All outstanding{found.data?.next_cursor ? " (more than 100)" : ` (${rows.length})`}
          </Link>
        )
      }
    >
      {found.error && !rows ? (
        <div className="body"><ErrorBox error={found.error} /></div>
      ) : !rows ? (
        <div className="body"><Skeleton lines={3} /></div>
      ) : rows.length === 0 ? (
        <div className="body muted">Nothing is outstanding.</div>
      ) : (
        <Table
          label="Coming attempts"
          keys={false}
          rows={rows.slice(0, 8)}
          id={(d) => d.id}
          columns={[
            { head: "Event type", lead: true, cell: (d) => <Link to="/deliveries/$id" params={{ id: d.id }} search={{ of: scope.one }} className="mono">{d.event_type}</Link> },
            { head: "State", cell: (d) => <DeliveryState delivery={d} /> },
            { head: "Attempt", num: true, cell: (d) => `${d.attempts + 1} of ${w.max_attempts}` },
            { head: "Next", num: true, cell: (d) => (d.waiting ? <span className="muted">{waitWords[d.waiting.reason] ?? d.waiting.reason}</span> : d.next_attempt_at ? <Time at={d.next_attempt_at} /> : "now") },
            { head: "Published", num: true, wideOnly: true, cell: (d) => <Time at={d.created_at} /> },
          ]}
        />
      )}
    </Card>
  );
}

function Settings({ webhook: w }: { webhook: Webhook }) {
  const scope = useScope();
  const secrets = useCan("secrets");
  const headers = Object.keys(w.headers ?? {});
  return (
    <div className="grid">
      <Card title="Endpoint">
        <Facts
          facts={[
            ["URL", <span className="mono wrap">{w.url}</span>],
            ["Id", <Id value={w.id} />],
            ["Profile", w.profile],
            secrets && w.profile !== "commenda" && [
              "Secret",
              <Secret key={w.id} label="Secret" load={() => unwrap(api.GET("/v1/webhooks/{id}/secret", { ...acting(scope.one), params: { path: { id: w.id } } })).then((s) => s.secret)} />,
            ],
            w.signature_schemes !== undefined && ["Signatures", w.signature_schemes.map((s) => (s === "v1" ? "v1 (HMAC-SHA-256)" : "v1a (Ed25519)")).join(", ") || "none of Standard Webhooks"],
            w.public_keys_path !== undefined && ["Public keys", <a href={w.public_keys_path} target="_blank" rel="noopener">{w.public_keys_path}</a>],
            headers.length > 0 && ["Custom headers", <span className="row tight">{headers.map((h) => <span key={h} className="tag mono">{h}</span>)}</span>],
          ]}
        />
      </Card>
      <Card title="Limits">
        <Facts
          facts={[
            ["Attempts", `at most ${w.max_attempts}`],
            ["Time-out", `${w.timeout_seconds} s an attempt`],
            ["Rate", w.rate_limit ? `at most ${w.rate_limit} requests/s` : "no limit"],
            ["Trace context", w.trace_context ? "sent" : "not sent"],
            ["Created", <ExactTime at={w.created_at} />],
            ["Changed", <Time at={w.updated_at} />],
          ]}
        />
      </Card>
      <Card title={`Events (${w.events.length})`}>
        <div className="row tight" style={{ maxHeight: 220, overflow: "auto" }}>
          {w.events.map((e) => (
            <Link key={e} to="/event-types" search={e.includes("*") ? { q: e.replace(/\.?\*$/, "") || undefined } : { sel: e }} className="tag mono">
              {e}
            </Link>
          ))}
        </div>
      </Card>
    </div>
  );
}
