// A tour through the running stack at GRAPNEL_URL, GRAPNEL_KEY and RECEIVER_URL. The end-to-end tests start a stack
// and run this file.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import { asText, createGrapnel, GrapnelError, unwrap, type Delivery, type TopicItemList } from "../src/index.js";

function variable(name: string): string {
  const value = process.env[name];
  assert.ok(value, `${name} is not set`);
  return value;
}

const url = variable("GRAPNEL_URL");
const receiver = variable("RECEIVER_URL");
const grapnel = createGrapnel({ url, key: variable("GRAPNEL_KEY") });

/** Creates a new event type, so that tests don't see each other's events. */
async function eventType(): Promise<string> {
  const name = `typescript.t${randomUUID().replaceAll("-", "")}`;
  const made = await grapnel.PUT("/v1/event-types/{name}", { params: { path: { name } }, body: {} });
  assert.equal(made.response.status, 201);
  return name;
}

/** Waits until the webhook's newest delivery is final. */
async function settled(id: string): Promise<Delivery> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const page = await unwrap(grapnel.GET("/v1/webhooks/{id}/deliveries", { params: { path: { id }, query: { limit: 1 } } }));
    const delivery = page.deliveries[0];
    if (delivery && delivery.status !== "pending" && !delivery.next_attempt_at && !delivery.waiting) {
      return delivery;
    }
    assert.ok(Date.now() < deadline, "the delivery did not settle");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test("a webhook's life", async () => {
  const type = await eventType();
  const created = await unwrap(
    grapnel.POST("/v1/webhooks", { body: { url: `${receiver}/`, events: [type], description: "TypeScript", headers: { "X-Tour": "1" } } }),
  );
  assert.match(created.secret, /^whsec_/);
  assert.equal(created.profile, "standard");
  assert.deepEqual(created.headers, { "X-Tour": "***" });
  const params = { path: { id: created.id } };

  const changed = await unwrap(grapnel.PATCH("/v1/webhooks/{id}", { params, body: { description: "changed", headers: {} } }));
  assert.equal(changed.description, "changed");
  assert.equal(changed.headers, undefined);

  const { secret } = await unwrap(grapnel.GET("/v1/webhooks/{id}/secret", { params }));
  assert.equal(secret, created.secret);

  const listed = await unwrap(grapnel.GET("/v1/webhooks", { params: { query: { event: type, active: "true" } } }));
  assert.deepEqual(listed.webhooks.map((w) => w.id), [created.id]);
  assert.equal(listed.next_cursor, null);

  const tested = await unwrap(grapnel.POST("/v1/webhooks/{id}/test", { params, body: {} }));
  assert.equal(tested.test, true);
  assert.equal(tested.attempt_log[0]?.response?.status_code, 200);

  await unwrap(grapnel.DELETE("/v1/webhooks/{id}", { params }));
  const gone = await grapnel.GET("/v1/webhooks/{id}", { params });
  assert.equal(gone.response.status, 404);
  assert.equal(gone.error?.code, "NOT_FOUND");
});

test("a list in a query has all of its values", async () => {
  const type = await eventType();
  const webhook = await unwrap(grapnel.POST("/v1/webhooks", { body: { url: `${receiver}/`, events: [type] } }));
  await unwrap(grapnel.POST("/v1/events", { body: { type, data: 1 } }));
  await settled(webhook.id);
  const found = await unwrap(grapnel.GET("/v1/deliveries", { params: { query: { webhook_id: webhook.id, status: ["failed", "success"] } } }));
  assert.deepEqual(found.deliveries.map((d) => d.status), ["success"]);
});

test("publishing, one and many, and the log", async () => {
  const type = await eventType();
  const webhook = await unwrap(grapnel.POST("/v1/webhooks", { body: { url: `${receiver}/`, events: [type] } }));
  const data = { text: "é😀", numbers: [1, 2.5], nothing: null };
  const id = `ts-${randomUUID()}`;
  const event = await unwrap(grapnel.POST("/v1/events", { body: { type, data, id } }));
  assert.equal(event.deliveries, 1);
  const again = await unwrap(
    grapnel.POST("/v1/events", { body: { type, data }, params: { header: { "Idempotency-Key": id } } }),
  );
  assert.equal(again.id, event.id);
  assert.equal(again.duplicate, true);

  const delivery = await settled(webhook.id);
  assert.equal(delivery.status, "success");
  const detail = await unwrap(grapnel.GET("/v1/deliveries/{id}", { params: { path: { id: delivery.id } } }));
  assert.equal(detail.attempt_log.length, 1);
  const retried = await unwrap(grapnel.POST("/v1/deliveries/{id}/retry", { params: { path: { id: delivery.id } } }));
  assert.equal(retried.attempts, 2);
  const stored = await unwrap(grapnel.GET("/v1/events/{id}", { params: { path: { id: event.id } } }));
  assert.deepEqual(stored.data, data);

  const batch = await unwrap(
    grapnel.POST("/v1/events/batch", { body: { events: [{ type, data: 1 }, { type: "typescript.unknown", data: 2 }, { type, data: 3 }] } }),
  );
  assert.deepEqual([batch.accepted, batch.refused], [2, 1]);
  assert.deepEqual(batch.results.map((r) => r.status), [202, 422, 202]);
  assert.match(batch.results[1]?.error?.errors?.[0]?.message ?? "", /not a known event type/);

  const first = await unwrap(grapnel.GET("/v1/events", { params: { query: { type, limit: 2 } } }));
  assert.ok(first.next_cursor);
  const rest = await unwrap(grapnel.GET("/v1/events", { params: { query: { type, limit: 2, cursor: first.next_cursor } } }));
  assert.deepEqual([first, rest].flatMap((page) => page.events.map((e) => e.data)), [3, 1, data]);
});

test("a topic's messages arrive as they were sent", async () => {
  // A name is one segment of a path, whatever characters it has.
  const path = { cacheName: `ts/${randomUUID()}`, topicName: "room 281?#é" };
  const text = '"quoted" text, not JSON: é😀';
  await unwrap(grapnel.POST("/topics/{cacheName}/{topicName}", { ...asText, params: { path }, body: text }));
  // The document has two types for one status, by Accept; this is the type of a poll.
  const { items } = (await unwrap(
    grapnel.GET("/topics/{cacheName}/{topicName}", { params: { path, query: { sequence_number: 1 } } }),
  )) as TopicItemList;
  assert.equal(items[0]?.item?.value.text, text);
  assert.equal(items[0]?.item?.topic_sequence_number, 1);
});

test("Commenda's surface", async () => {
  const topic = `TYPESCRIPT.${randomUUID()}`;
  const { data: webhook } = await unwrap(grapnel.POST("/webhooks", { body: { url: "https://127.0.0.1:9/webhook", topics: [topic], status: "DISABLED" } }));
  assert.equal(webhook.status, "DISABLED");
  const { data: event } = await unwrap(grapnel.POST("/events", { body: { topic, data: {} } }));
  assert.equal(event.deliveries, 0);
  const { data: list } = await unwrap(grapnel.GET("/webhooks"));
  assert.ok(list.webhooks.some((w) => w.id === webhook.id));
  await unwrap(grapnel.DELETE("/webhooks/{id}", { params: { path: { id: webhook.id } } }));
});

test("mistakes are told where they are", async () => {
  const wrong = unwrap(grapnel.POST("/v1/webhooks", { body: { url: "nowhere", events: ["no such type!"] } }));
  await assert.rejects(wrong, (e) => {
    assert.ok(e instanceof GrapnelError);
    assert.equal(e.status, 422);
    assert.equal(e.problem?.code, "INVALID_ARGUMENT");
    assert.deepEqual(e.problem?.errors?.map((d) => d.location).sort(), ["body.events[0]", "body.url"]);
    assert.match(e.message, /body\.url /);
    return true;
  });
});

test("a wrong key is refused", async () => {
  const stranger = createGrapnel({ url, key: "gk_nobody" });
  await assert.rejects(unwrap(stranger.GET("/v1/webhooks")), (e) => e instanceof GrapnelError && e.status === 401 && e.problem?.code === "UNAUTHENTICATED");
});

test("an answer that is not the API's is an error too", async () => {
  const answering = (status: number, body: string) => createGrapnel({ url, key: "k", fetch: async () => new Response(body, { status }) });
  await assert.rejects(unwrap(answering(502, "<html>bad gateway</html>").GET("/v1/webhooks")), { name: "GrapnelError", message: "the server answered 502" });
  await assert.rejects(unwrap(answering(503, "").GET("/v1/webhooks")), { name: "GrapnelError", message: "the server answered 503" });
});
