import { useQuery } from "@tanstack/react-query";

import { stats } from "../api/queries";
import { count, share } from "../lib/numbers";
import { type Range, ranges, rangeWords } from "../lib/range";
import { duration } from "../lib/time";
import { LatencyChart, OutcomeChart, SuccessChart } from "./charts";
import { ErrorBox, Skeleton } from "./feedback";
import { Presets } from "./filters";
import { Card, Figure } from "./page";

export function RangePresets({ value, onChange }: { value: Range; onChange: (r: Range) => void }) {
  return <Presets label="Time shown" value={value} options={ranges} onChange={onChange} />;
}

/** The figures of a range: deliveries by outcome, share of success, latency. more stand behind them. */
export function StatFigures({ tenant, range, webhook, more }: { tenant: string | undefined; range: Range; webhook?: string; more?: React.ReactNode }) {
  const found = useQuery(stats(tenant, range, webhook));
  const t = found.data?.totals;
  const ended = t && t.delivered + t.failed;
  const dash = "–";
  return (
    <div className="figures" aria-busy={found.isPending}>
      <Figure label="Delivered" value={t ? count(t.delivered) : dash} note={rangeWords(range)} />
      <Figure label="Failed for good" value={t ? count(t.failed) : dash} note={t && ended ? `${share(t.failed, ended) ?? "0 %"} of what ended` : " "} />
      <Figure label="Attempts that succeeded" value={t ? (share(t.attempts - t.failed_attempts, t.attempts) ?? dash) : dash} note={t ? `of ${count(t.attempts)}` : " "} />
      <Figure label="Latency p50" value={t && t.attempts > 0 && t.latency_p50_ms !== undefined ? duration(t.latency_p50_ms) : dash} note={t && t.attempts > 0 && t.latency_p99_ms !== undefined ? `p99 ${duration(t.latency_p99_ms)}` : " "} />
      {more}
    </div>
  );
}

export function StatCharts({ tenant, range, webhook }: { tenant: string | undefined; range: Range; webhook?: string }) {
  const found = useQuery(stats(tenant, range, webhook));
  if (found.error && !found.data) return <ErrorBox error={found.error} retry={() => void found.refetch()} />;
  const s = found.data;
  const cards = ["Deliveries", "Success", "Latency"];
  return (
    <div className="grid">
      {cards.map((title) => (
        <Card key={title} title={title}>
          {!s ? (
            <Skeleton lines={5} height={20} />
          ) : title === "Deliveries" ? (
            <OutcomeChart points={s.points} step={s.step} label="Deliveries" />
          ) : title === "Success" ? (
            <SuccessChart points={s.points} step={s.step} />
          ) : (
            <LatencyChart points={s.points} step={s.step} />
          )}
        </Card>
      ))}
    </div>
  );
}
