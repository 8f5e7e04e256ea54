import { describe, expect, test } from "vitest";

import type { Delivery, EventType, Webhook } from "../api/schema";
import { failingWebhooks } from "../screens/home";
import { testable } from "../screens/webhooktest";
import { ceiling } from "../ui/charts";
import { deliveryState, webhookState } from "../ui/state";
import { grouped, matches, toggled } from "./eventtypes";
import { bytes, count, share, short } from "./numbers";
import { rangeQuery, rangeSince } from "./range";
import { scopeOf } from "./scope";
import { oneOf, parseSearch, searchOf, someOf, stringifySearch, text } from "./search";
import { contrast, mix, parse, readable, type RGB } from "./theme";
import { duration, exact, fromLocal, relative, toLocal } from "./time";
import { blank, createBody, formOf, problems, updateBody } from "./webhookform";

describe("search parameters", () => {
  const read = searchOf({ status: someOf("failed", "success"), q: text, on: oneOf("true", "false") });
  test("unknown and wrong ones are left out", () => {
    expect(read({ status: "failed,nonsense", q: "", on: "maybe", other: "x" })).toEqual({ status: ["failed"] });
    expect(read({ status: ["failed", "success"], q: 12, on: "true" })).toEqual({ status: ["failed", "success"], q: "12", on: "true" });
  });
  test("are written as they are read", () => {
    const written = stringifySearch({ status: ["failed", "success"], tenant: "*", since: "2026-01-02T03:04:05Z", q: "a&b=c +ü", none: undefined, empty: "" });
    expect(written).toContain("status=failed,success&tenant=*&since=2026-01-02T03:04:05Z");
    expect(parseSearch(written)).toEqual({ status: "failed,success", tenant: "*", since: "2026-01-02T03:04:05Z", q: "a&b=c +ü" });
    expect(stringifySearch({})).toBe("");
  });
});

test("times from now", () => {
  const now = Date.parse("2026-05-01T12:00:00Z");
  const at = (s: string) => relative(new Date(s), now);
  expect(at("2026-05-01T12:00:01Z")).toBe("now");
  expect(at("2026-05-01T11:59:15Z")).toBe("45 s ago");
  expect(at("2026-05-01T14:30:00Z")).toBe("in 2 h");
  expect(at("2026-04-28T12:00:00Z")).toBe("3 d ago");
  expect(relative(new Date("nonsense"), now)).toBe("?");
  expect(exact(new Date("nonsense"))).toBe("?");
  expect(exact(new Date("2026-05-01T12:00:00.25Z"))).toContain("2026-05-01T12:00:00.250Z");
});

test("durations and numbers have units", () => {
  expect([0, 0.44, 9.96, 12.4, 999.6, 1250, 61_000, 3_600_000, 90_000_000].map(duration)).toEqual(["0 ms", "0.4 ms", "10 ms", "12 ms", "1000 ms", "1.25 s", "1 min 1 s", "1 h", "1 d 1 h"]);
  expect(count(1234567)).toBe("1,234,567");
  expect(short(9999)).toBe("9,999");
  expect(short(12345)).toBe("12.3K");
  expect([0, 1023, 2048, 5_000_000].map(bytes)).toEqual(["0 B", "1023 B", "2.0 KiB", "4.8 MiB"]);
});

test("a share is 100 % only if it is all, and 0 % only if it is nothing", () => {
  expect(share(1, 0)).toBeUndefined();
  expect(share(10, 10)).toBe("100 %");
  expect(share(0, 10)).toBe("0 %");
  expect(share(999_999, 1_000_000)).toBe("99.99 %");
  expect(share(1, 1_000_000)).toBe("0.01 %");
  expect(share(1, 3)).toBe("33.3 %");
});

test("local times of a form", () => {
  expect(fromLocal("")).toBeUndefined();
  expect(fromLocal("nonsense")).toBeUndefined();
  expect(fromLocal(toLocal("2026-05-01T12:34:00.000Z"))).toBe("2026-05-01T12:34:00.000Z");
  expect(toLocal("nonsense")).toBe("");
});

test("ranges end now", () => {
  const now = Date.parse("2026-05-01T12:00:30Z");
  expect(rangeQuery("1h", now)).toEqual({ from: "2026-05-01T11:00:30.000Z", to: "2026-05-01T12:00:30.000Z", step: "minute" });
  expect(rangeSince("24h", now)).toBe("2026-04-30T12:00:00.000Z");
});

test("subscriptions", () => {
  expect(matches("user.*", "user.created")).toBe(true);
  expect(matches("user.*", "users.created")).toBe(false);
  expect(matches("*", "user.created")).toBe(true);
  expect(matches("*", "webhook.disabled", true)).toBe(false);
  expect(matches("webhook.disabled", "webhook.disabled", true)).toBe(true);
  expect(toggled(["a", "b"], "a", false)).toEqual(["b"]);
  expect(toggled(["a"], "a", true)).toEqual(["a"]);
  expect(grouped([{ name: "user.b" }, { name: "ping" }, { name: "user.a" }]).map((g) => [g.prefix, g.members.length])).toEqual([["ping", 1], ["user", 2]]);
});

test("whose things are shown", () => {
  expect(scopeOf(false, "ten_x", "ten_y")).toEqual({ list: undefined, one: undefined, all: false });
  expect(scopeOf(true, undefined, undefined)).toEqual({ list: "*", one: undefined, all: true });
  expect(scopeOf(true, "*", "ten_y")).toEqual({ list: "*", one: "ten_y", all: true });
  expect(scopeOf(true, "ten_x", undefined)).toEqual({ list: "ten_x", one: "ten_x", all: false });
});

test("states", () => {
  expect(webhookState({ status: "disabled", active: true, paused: true }).word).toBe("Paused");
  expect(webhookState({ status: "disabled", active: false, paused: true }).word).toBe("Disabled");
  expect(webhookState({ status: "failing", active: true, paused: false }).word).toBe("Failing");
  expect(deliveryState({ status: "failed", next_attempt_at: "2026-05-01T12:00:00Z" }).word).toBe("Retrying");
  expect(deliveryState({ status: "failed" }).word).toBe("Failed");
  expect(deliveryState({ status: "pending", waiting: { reason: "paused", since: "2026-05-01T12:00:00Z" } }).word).toBe("Held");
});

test("failures are grouped by webhook, without tests", () => {
  const d = (id: string, webhook_id: string, test = false) => ({ id, webhook_id, test }) as Delivery;
  expect(failingWebhooks([d("1", "a"), d("2", "b"), d("3", "b"), d("4", "c", true)]).map((g) => [g.id, g.failed, g.last.id])).toEqual([["b", 2, "2"], ["a", 1, "1"]]);
});

test("what can be tested", () => {
  const type = (name: string, deprecated = false) => ({ name, deprecated, description: "", built_in: false, shared: false }) as EventType;
  const types = [type("user.created"), type("user.old", true), type("webhook.disabled"), type("order.paid")];
  expect(testable({ events: ["order.paid", "user.*", "webhook.disabled"] }, types)).toEqual(["order.paid", "user.created"]);
});

test("an axis ends at a round number", () => {
  expect([0, 1, 3, 10, 11, 49, 501, 0.3].map(ceiling)).toEqual([1, 1, 5, 10, 20, 50, 1000, 0.5]);
});

test("any accent can be read in both themes", () => {
  for (const accent of ["#ffffff", "#000000", "#ffee00", "#1f5fd0", "#ff0000", "#7f7f7f"]) {
    for (const [surface, dark] of [[[255, 255, 255], false], [[0x17, 0x1b, 0x21], true]] as [RGB, boolean][]) {
      const soft = mix(parse(accent)!, surface, dark ? 0.8 : 0.9);
      expect(contrast(readable(parse(accent)!, soft, dark), soft), `${accent} ${dark}`).toBeGreaterThanOrEqual(4.5);
    }
  }
  expect(parse("red")).toBeUndefined();
});

describe("the form of a webhook", () => {
  const webhook = {
    id: "hook_1", url: "https://a.example/", events: ["a.b"], active: true, paused: false, profile: "standard", status: "healthy",
    timeout_seconds: 15, max_attempts: 5, headers: { "X-Key": "***" }, signature_schemes: ["v1"], created_at: "", updated_at: "",
  } as Webhook;
  test("sends what is given, when it is new", () => {
    expect(createBody({ ...blank, url: " https://a.example/ ", events: ["*"] })).toEqual({ url: "https://a.example/", events: ["*"] });
    expect(createBody({ ...blank, url: "u", events: ["*"], rate: "0", headers: [{ name: " X-A ", value: " 1" }, { name: "", value: "" }], ed25519: true })).toEqual({
      url: "u", events: ["*"], rate_limit: 0, headers: { "X-A": " 1" }, signature_schemes: ["v1", "v1a"],
    });
  });
  test("sends only what was changed", () => {
    const form = formOf(webhook);
    expect(form.headers).toBeUndefined();
    expect(updateBody(form, webhook)).toEqual({});
    expect(updateBody({ ...form, description: "x", rate: "5" }, webhook)).toEqual({ description: "x", rate_limit: 5 });
    expect(updateBody({ ...form, headers: [] }, webhook)).toEqual({ headers: null });
    expect(updateBody({ ...form, headers: [{ name: "X-Key", value: "new" }] }, webhook)).toEqual({ headers: { "X-Key": "new" } });
  });
  test("says what is wrong before it is sent", () => {
    expect(Object.keys(problems(blank))).toEqual(["body.url", "body.events"]);
    expect(problems({ ...blank, url: "u", events: ["*"], rate: "1.5", headers: [{ name: "A", value: "1" }, { name: "a", value: "2" }] })).toEqual({
      "body.rate_limit": "Give a whole number.", "body.headers": "The header a is there twice.",
    });
  });
});
