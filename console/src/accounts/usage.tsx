import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import type { TenantUsagePeriod } from "../api/schema";
import { count, share } from "../lib/numbers";
import { OutcomeChart } from "../ui/charts";
import { Empty, ErrorBox, Skeleton } from "../ui/feedback";
import { Presets } from "../ui/filters";
import { Card, Figure } from "../ui/page";
import { Table } from "../ui/table";
import { Bytes, Count, ExactTime } from "../ui/text";
import { filled } from "./fill";
import * as queries from "./queries";

/** Usage shows what a tenant has used, by day or by hour. */
export function Usage({ tenant }: { tenant: string }) {
  const [by, setBy] = useState<"hour" | "day">("day");
  const found = useQuery(queries.tenantUsage(tenant, { by }));
  const u = found.data;
  if (u === undefined) {
    return found.error ? <ErrorBox error={found.error} retry={() => void found.refetch()} /> : <Skeleton lines={8} />;
  }
  const total = u.total;
  return (
    <div className="stack">
      <div className="row apart">
        <Presets label="Time" value={by} options={[["day", "Last 30 days"], ["hour", "Last 24 hours"]]} onChange={setBy} />
        <span className="muted small">
          <ExactTime at={u.since} /> to <ExactTime at={u.until} />
        </span>
      </div>
      {total ? (
        <div className="figures">
          <Figure label="Events" value={count(total.events)} />
          <Figure label="Deliveries" value={count(total.deliveries)} />
          <Figure label="Attempts" value={count(total.attempts)} note={share(total.successes, total.attempts) ? `${share(total.successes, total.attempts)} successful` : undefined} />
          <Figure label="Data accepted" value={<Bytes value={total.bytes} />} />
        </div>
      ) : null}
      {u.periods.length === 0 ? (
        <Empty title="Nothing was used in this time" />
      ) : (
        <>
          <Card title="Attempts by outcome">
            <OutcomeChart
              label="Attempts"
              step={by}
              points={filled(u.periods, u.since, u.until, u.by).map((p) => ({ at: p.start, delivered: p.successes, failed: p.failures, attempts: p.attempts, failed_attempts: p.failures }))}
            />
          </Card>
          <Table<TenantUsagePeriod>
            label="Usage by period"
            rows={u.periods.toReversed()}
            id={(p) => p.start}
            keys={false}
            columns={[
              { head: by === "day" ? "Day (UTC)" : "Hour (UTC)", lead: true, cell: (p) => (by === "day" ? p.start.slice(0, 10) : p.start.slice(0, 16).replace("T", " ")) },
              { head: "Events", num: true, cell: (p) => <Count value={p.events} /> },
              { head: "Deliveries", num: true, cell: (p) => <Count value={p.deliveries} /> },
              { head: "Attempts", num: true, cell: (p) => <Count value={p.attempts} /> },
              { head: "Successful", num: true, cell: (p) => <Count value={p.successes} /> },
              { head: "Failed", num: true, cell: (p) => <Count value={p.failures} /> },
              { head: "Data", num: true, cell: (p) => <Bytes value={p.bytes} /> },
            ]}
          />
        </>
      )}
    </div>
  );
}
