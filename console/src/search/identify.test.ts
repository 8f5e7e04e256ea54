import { expect, test } from "vitest";
import { identify } from "./identify";

const event = "evt_01kab1s6rzfkqbzry2kztmfpx1";

test.each([
  [event, "event"],
  ["del_01kab1s6rzfkqbzry2kztmfpx1", "delivery"],
  ["hook_01kab1s6rzfkqbzry2kztmfpx1", "webhook"],
  ["rpl_01kab1s6rzfkqbzry2kztmfpx1", "replay"],
  ["ten_01kab1s6rzfkqbzry2kztmfpx1", "tenant"],
  ["key_01kab1s6rzfkqbzry2kztmfpx1", "key"],
  ["ps_01kab1s6rzfkqbzry2kztmfpx1", "session"],
  ["aud_01kab1s6rzfkqbzry2kztmfpx1", "entry"],
])("%s is the id of a %s", (id, kind) => {
  expect(identify(id)).toEqual({ kind, id });
});

test("an id is found as it comes out of a log", () => {
  for (const text of [` ${event} `, `"${event}",`, event.toUpperCase()]) {
    expect(identify(text)).toEqual({ kind: "event", id: event });
  }
});

test("a workflow's id names its webhook or tenant", () => {
  expect(identify("hook_01kab1s6rzfkqbzry2kztmfpx1-drain")).toEqual({ kind: "webhook", id: "hook_01kab1s6rzfkqbzry2kztmfpx1" });
  expect(identify("ten_01kab1s6rzfkqbzry2kztmfpx1-delete")).toEqual({ kind: "tenant", id: "ten_01kab1s6rzfkqbzry2kztmfpx1" });
});

test.each(["order_4711", "evt_short", "del_81kab1s6rzfkqbzry2kztmfpx1", "evt_01kab1s6rzfkqbzry2kztmfpxu", "東京"])(
  "%s is a reference",
  (reference) => {
    expect(identify(reference)).toEqual({ kind: "reference", reference });
  },
);

test("nothing is sought by nothing", () => {
  expect(identify("  ")).toBeUndefined();
  expect(identify('""')).toBeUndefined();
});
