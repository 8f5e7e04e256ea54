import { expect, test } from "vitest";
import type { Replay } from "../api/schema";
import { progressOf } from "./progress";

const replay = (members: Partial<Replay>): Replay =>
  ({
    state: "running",
    since: "2026-01-15T12:00:00Z",
    until: "2026-01-15T13:00:00Z",
    looked_to: "2026-01-15T12:30:00Z",
    scanned: 50,
    ...members,
  }) as Replay;

test("counts time examined and deliveries ended apart", () => {
  const p = progressOf(replay({ progress: { succeeded: 6, failed: 2, canceled: 0, outstanding: 2 } }));
  expect(p).toMatchObject({ examined: 0.5, ended: 0.8, failed: 2 });
});

test("counts chosen deliveries one by one", () => {
  expect(progressOf(replay({ delivery_ids: ["a", "b", "c", "d"], scanned: 1 })).examined).toBe(0.25);
});

test("a completed one is whole, also without deliveries", () => {
  expect(progressOf(replay({ state: "completed" }))).toMatchObject({ examined: 1, ended: 1 });
});

test("stays between 0 and 1", () => {
  expect(progressOf(replay({ looked_to: "2026-01-15T11:00:00Z" })).examined).toBe(0);
  expect(progressOf(replay({ since: "2026-01-15T13:00:00Z" })).examined).toBe(1);
});
