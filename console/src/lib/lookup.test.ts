import { expect, test } from "vitest";

import { placeOf } from "./lookup";

const tail = "01kab1s6rzfkqbzry2kztmfpx1";

test.each([
  [`evt_${tail}`, "/events/$id", `evt_${tail}`],
  [`del_${tail}`, "/deliveries/$id", `del_${tail}`],
  [`hook_${tail}`, "/webhooks/$id", `hook_${tail}`],
  [`rpl_${tail}`, "/replays/$id", `rpl_${tail}`],
  [`ten_${tail}`, "/tenants/$id", `ten_${tail}`],
  [` "evt_${tail}", `, "/events/$id", `evt_${tail}`],
  [`EVT_${tail.toUpperCase()}`, "/events/$id", `evt_${tail}`],
  [`hook_${tail}-drain`, "/webhooks/$id", `hook_${tail}`],
])("%s is found at %s", (typed, to, id) => {
  expect(placeOf(typed)).toEqual({ to, id });
});

test.each(["order_4711", "evt_short", `evt_8${tail.slice(1)}`, "東京"])("%s is a reference", (reference) => {
  expect(placeOf(reference)).toEqual({ to: "/deliveries", reference });
});

test("nothing is found by nothing", () => {
  expect(placeOf("  ")).toBeUndefined();
  expect(placeOf('""')).toBeUndefined();
});
