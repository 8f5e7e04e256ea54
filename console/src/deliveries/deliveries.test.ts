import { describe, expect, test } from "vitest";
import type { Attempt, DeliveryDetail, EventDetail } from "../api/schema";
import { requestBody } from "./body";
import { headersOf } from "./headers";
import { curl, publishExample, quote } from "./curl";
import { hasEnded, lifecycle, whyNot } from "./lifecycle";
import { phases } from "./waterfall";

const attempt = (number: number, members: Partial<Attempt> = {}): Attempt => ({
  number,
  started_at: `2026-01-15T12:30:0${number}.000Z`,
  duration_ms: 10,
  timings: { dns_ms: 0, connect_ms: 0, tls_ms: 0, first_byte_ms: 0 },
  request: { url: "https://yourapp.com/", headers: {} },
  ...members,
});

const delivery = (members: Partial<DeliveryDetail> = {}): DeliveryDetail => ({
  id: "del_01kab1s6rzfkqbzry2kztmfpx1",
  event_id: "evt_01kab1s6rzfkqbzry2kztmfpx1",
  event_type: "user.created",
  webhook_id: "hook_01kab1s6rzfkqbzry2kztmfpx1",
  status: "success",
  attempts: 1,
  created_at: "2026-01-15T12:30:00Z",
  attempt_log: [],
  ...members,
});

describe("the waterfall", () => {
  test("lays the phases one after another", () => {
    const found = phases({ dns_ms: 2, connect_ms: 3, tls_ms: 5, first_byte_ms: 30 }, 40);
    expect(found.map((p) => [p.name, p.from, p.to])).toEqual([
      ["DNS", 0, 2],
      ["Connect", 2, 5],
      ["TLS", 5, 10],
      ["Wait", 10, 30],
      ["Read", 30, 40],
    ]);
  });
  test("leaves out what a kept connection does not have", () => {
    expect(phases({ dns_ms: 0, connect_ms: 0, tls_ms: 0, first_byte_ms: 8 }, 8).map((p) => p.name)).toEqual(["Wait"]);
  });
  test("shows that no answer came", () => {
    const found = phases({ dns_ms: 1, connect_ms: 1, tls_ms: 0, first_byte_ms: 0 }, 15000);
    expect(found.at(-1)).toMatchObject({ name: "No answer", from: 2, to: 15000 });
  });
  test("never leaves the attempt", () => {
    expect(phases({ dns_ms: 50, connect_ms: 0, tls_ms: 0, first_byte_ms: 0 }, 40)).toMatchObject([{ from: 0, to: 40 }]);
  });
});

describe("the lifecycle", () => {
  test("ends with success", () => {
    const d = delivery({ delivered_at: "2026-01-15T12:30:01Z", attempt_log: [attempt(1, { response: { status_code: 200, headers: {}, body: "" } })] });
    expect(lifecycle(d).map((s) => s.title)).toEqual(["Event published", "Attempt 1: HTTP 200", "Delivered"]);
    expect(hasEnded(d)).toBe(true);
  });
  test("names the next attempt", () => {
    const d = delivery({ status: "failed", next_attempt_at: "2026-01-15T12:31:00Z", attempt_log: [attempt(1, { error: { class: "timeout", message: "Connection timeout" } })] });
    expect(lifecycle(d).at(1)).toMatchObject({ title: "Attempt 1: time-out", tone: "bad" });
    expect(lifecycle(d).at(-1)).toMatchObject({ title: "Attempt 2 is due", at: "2026-01-15T12:31:00Z" });
    expect(hasEnded(d)).toBe(false);
  });
  test("says why it waits", () => {
    const d = delivery({ status: "failed", waiting: { reason: "endpoint_unavailable", since: "2026-01-15T12:31:00Z", next_probe_at: "2026-01-15T12:32:00Z" } });
    expect(lifecycle(d).slice(-2).map((s) => s.kind)).toEqual(["waiting", "next"]);
    expect(hasEnded(d)).toBe(false);
  });
  test("a pending one has not ended", () => {
    expect(hasEnded(delivery({ status: "pending", attempts: 0 }))).toBe(false);
  });
  test("says that earlier attempts are left out, and which were by hand", () => {
    const d = delivery({ status: "failed", attempts_omitted: 2, attempt_log: [attempt(3, { manual: true, error: { class: "dns", message: "DNS lookup failed" } })] });
    expect(lifecycle(d).map((s) => s.title)).toEqual(["Event published", "2 earlier attempts are not shown", "Attempt 3, by hand: name not found", "Failed for good"]);
  });
});

test("a delivery that succeeded needs no explanation, whatever came before", () => {
  const explanation = { summary: "It answered 500.", next_step: "Look at its log." };
  const log = [attempt(1, { explanation }), attempt(2)];
  expect(whyNot(delivery({ attempt_log: log }))).toBeUndefined();
  expect(whyNot(delivery({ status: "failed", attempt_log: log }))).toEqual(explanation);
});

describe("curl", () => {
  test("quotes for a shell", () => {
    expect(quote("plain-1.0")).toBe("plain-1.0");
    expect(quote("it's $HOME")).toBe(`'it'\\''s $HOME'`);
  });
  test("repeats the headers, without those that curl sets", () => {
    const command = curl("https://yourapp.com/a?b=c", { "Content-Length": ["2"], "Content-Type": ["application/json"] }, "{}");
    expect(command).toBe("curl -i -X POST 'https://yourapp.com/a?b=c' \\\n  -H 'Content-Type: application/json' \\\n  --data-raw '{}'");
  });
  test("says that a value is hidden", () => {
    expect(curl("https://yourapp.com/", { "X-Key": ["***"] })).toMatch(/^# Put the values/);
  });
  test("the example names the origin", () => {
    expect(publishExample("https://hooks.example.com")).toContain("https://hooks.example.com/v1/events");
  });
});

describe("the request's body", () => {
  const event = { id: "evt_01kab1s6rzfkqbzry2kztmfpx1", type: "user.created", created_at: "2026-01-15T12:30:00Z", data: { b: 1, a: 2 } } as EventDetail;
  test("is exact on the standard profile", () => {
    expect(requestBody(event, "standard")).toEqual({
      text: `{"id":"evt_01kab1s6rzfkqbzry2kztmfpx1","type":"user.created","created_at":"2026-01-15T12:30:00Z","data":{"b":1,"a":2}}`,
      exact: true,
    });
  });
  test("is marked where only the server knows it", () => {
    expect(requestBody(event, "commenda").exact).toBe(false);
    expect(requestBody({ ...event, cache_name: "chat" }, "momento").exact).toBe(false);
  });
});

describe("pasted headers", () => {
  test("are read from lines, after a request's first line", () => {
    expect(headersOf("POST /hook HTTP/1.1\r\nwebhook-id: evt_1\r\nX-Url: http://a:1/\r\n")).toEqual({
      headers: { "webhook-id": "evt_1", "X-Url": "http://a:1/" },
    });
  });
  test("are read from JSON, also as Go and Node print it", () => {
    expect(headersOf(`{"Webhook-Id":["evt_1"],"content-length":"2"}`)).toEqual({ headers: { "Webhook-Id": "evt_1", "content-length": "2" } });
  });
  test("say what is wrong", () => {
    expect(headersOf(" ")).toHaveProperty("wrong");
    expect(headersOf("nonsense")).toHaveProperty("wrong");
    expect(headersOf("{bad")).toHaveProperty("wrong");
    expect(headersOf(`{"a":{}}`)).toHaveProperty("wrong");
  });
});
