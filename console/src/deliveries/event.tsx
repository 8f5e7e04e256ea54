import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import type { Delivery, EventDetail, NotDelivered } from "../api/schema";
import { count, plural } from "../lib/numbers";
import { useScope } from "../lib/scope";
import { Skeleton } from "../ui/feedback";
import { Json } from "../ui/json";
import { useWebhookNames } from "../ui/names";
import { Card, Facts } from "../ui/page";
import { DeliveryState } from "../ui/state";
import { Table } from "../ui/table";
import { ExactTime, Id, Time } from "../ui/text";
import { External } from "./external";
import { NotShown } from "./notshown";
import * as queries from "./queries";
import { notDeliveredWords } from "./words";
import "./deliveries.css";

/** EventDetails shows who got an event, who did not and why, and its data. */
export function EventDetails({ id, tenant, compact = false }: { id: string; tenant: string | undefined; compact?: boolean }) {
  const found = useQuery(queries.event(tenant, id));
  if (found.data === undefined) {
    return found.error ? <NotShown error={found.error} retry={() => void found.refetch()} /> : <Skeleton lines={12} />;
  }
  return <Shown event={found.data} tenant={tenant} compact={compact} />;
}

function Shown({ event: e, tenant, compact }: { event: EventDetail; tenant: string | undefined; compact: boolean }) {
  const scope = useScope();
  const of = scope.all ? tenant : undefined;
  const name = useWebhookNames(tenant);
  const failed = e.deliveries.filter((d) => d.status !== "success").length;
  return (
    <>
      <Facts
        facts={[
          ["Type", e.type],
          ["Event", <Id key="i" value={e.id} />],
          ["Published", <ExactTime key="t" at={e.created_at} />],
          e.references?.length
            ? [
                "References",
                <span key="r" className="row tight">
                  {e.references.map((r) => (
                    <Link key={r} className="tag mono" to="/deliveries" search={{ reference: r }}>
                      {r}
                    </Link>
                  ))}
                </span>,
              ]
            : undefined,
          e.cache_name !== undefined ? ["Cache", e.cache_name] : undefined,
          e.topic_sequence_number !== undefined ? ["Number in its topic", count(e.topic_sequence_number)] : undefined,
          e.test ? ["Kind", "Sample of a test"] : undefined,
          e.workflow_url ? ["Workflow", <External key="w" href={e.workflow_url} text={e.workflow_id ?? "in Temporal"} />] : undefined,
        ]}
      />
      <div className={compact ? "stack" : "grid"}>
        <Card
          flush
          title={`Who got it: ${plural(e.delivery_count, "webhook")}${failed > 0 ? `, ${count(failed)} not delivered` : ""}`}
          actions={
            e.delivery_count > e.deliveries.length ? <span className="muted small">the first {count(e.deliveries.length)} are shown</span> : undefined
          }
        >
          {e.deliveries.length === 0 ? (
            <p className="body muted pad">No webhook matched the event when it was published.</p>
          ) : (
            <Table<Delivery>
              label="Deliveries of the event"
              keys={!compact}
              rows={e.deliveries}
              id={(d) => d.id}
              columns={[
                { head: "State", cell: (d) => <DeliveryState delivery={d} /> },
                {
                  head: "Webhook",
                  lead: true,
                  cell: (d) => (
                    <Link className="clip" to="/deliveries/$id" params={{ id: d.id }} search={{ of }}>
                      {name(d.webhook_id)}
                    </Link>
                  ),
                },
                { head: "Status", num: true, cell: (d) => d.status_code ?? "" },
                { head: "Attempts", num: true, cell: (d) => d.attempts },
                {
                  head: "Why",
                  cell: (d) =>
                    d.status !== "success" && (d.explanation?.summary ?? d.error) ? <span className="why small">{d.explanation?.summary ?? d.error}</span> : null,
                },
                !compact && { head: "Delivered", num: true, cell: (d) => (d.delivered_at ? <Time at={d.delivered_at} /> : null) },
              ]}
            />
          )}
        </Card>
        <Card flush title="Who did not, and why">
          {e.not_delivered_to.length === 0 ? (
            <p className="body muted pad">Every webhook of the account got it.</p>
          ) : (
            <Table<NotDelivered>
              label="Webhooks without a delivery"
              keys={false}
              rows={e.not_delivered_to}
              id={(n) => n.webhook_id}
              columns={[
                {
                  head: "Webhook",
                  lead: true,
                  cell: (n) => (
                    <Link className="clip" to="/webhooks/$id" params={{ id: n.webhook_id }} search={{ of }}>
                      {name(n.webhook_id)}
                    </Link>
                  ),
                },
                { head: "Why", cell: (n) => <span className="why">{notDeliveredWords(n.reason)}</span> },
              ]}
            />
          )}
        </Card>
      </div>
      <Card title="Data">
        <Json value={e.data} label="Data of the event" />
      </Card>
    </>
  );
}
