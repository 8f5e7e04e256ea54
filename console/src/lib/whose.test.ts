import { expect, test } from "vitest";

import { ownerIn } from "./whose";

const items = [
  { kind: "event" as const, id: "evt_1", tenant_id: "ten_1" },
  { kind: "webhook" as const, id: "hook_1", tenant_id: "ten_2" },
];

test("a thing belongs to the tenant of its kind's item", () => {
  expect(ownerIn(items, "webhook")).toBe("ten_2");
  expect(ownerIn(items, "event")).toBe("ten_1");
});

test("nothing found belongs to nobody", () => {
  expect(ownerIn(items, "delivery")).toBeUndefined();
  expect(ownerIn([], "event")).toBeUndefined();
  expect(ownerIn(undefined, "event")).toBeUndefined();
});
