import { expect, test } from "vitest";

import type { TenantUsagePeriod } from "../api/schema";
import { filled } from "./fill";

test("periods without use are zero", () => {
  const used = { start: "2026-01-15T13:00:00Z", attempts: 3, successes: 2, failures: 1 } as TenantUsagePeriod;
  const all = filled([used], "2026-01-15T12:00:00Z", "2026-01-15T15:00:00Z", "hour");
  expect(all.map((p) => p.attempts)).toEqual([0, 3, 0]);
  expect(all[2]?.start).toBe("2026-01-15T14:00:00.000Z");
});
