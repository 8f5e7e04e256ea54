import type { TenantUsagePeriod } from "../api/schema";

const lengths = { hour: 3_600_000, day: 86_400_000 };

/** filled returns every period from since to until: the API leaves out those in which nothing was used. */
export function filled(periods: readonly TenantUsagePeriod[], since: string, until: string, by: "hour" | "day"): Pick<TenantUsagePeriod, "start" | "attempts" | "successes" | "failures">[] {
  const known = new Map(periods.map((p) => [Date.parse(p.start), p]));
  const all = [];
  for (let t = Date.parse(since); t < Date.parse(until); t += lengths[by]) {
    all.push(known.get(t) ?? { start: new Date(t).toISOString(), attempts: 0, successes: 0, failures: 0 });
  }
  return all;
}
