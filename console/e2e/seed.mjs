// The data that the screens are shown with: short and long, failing, waiting, disabled, and a thousand rows.
import { closedPort } from "./receiver.mjs";
import { eventually } from "./api.mjs";

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/** seed returns what it made, by name. */
export async function seed(api, receiver) {
  receiver.answer("/broken", { status: 500, body: `{"error":"database is locked"}`, headers: { "content-type": "application/json" } });
  receiver.answer("/slow", { status: 200, delay: 1500 });
  receiver.answer("/refusing", { status: 401, body: "signature mismatch" });
  const webhook = (members) => api.post("/v1/webhooks", { secret, ...members });
  const made = {};
  made.healthy = await webhook({ url: `${receiver.url}/orders`, events: ["user.*", "payment.*"], description: "Orders" });
  made.broken = await webhook({ url: `${receiver.url}/broken`, events: ["payment.*"], description: "Billing", max_attempts: 2 });
  made.refusing = await webhook({ url: `${receiver.url}/refusing`, events: ["payment.failed"], description: "Ledger" });
  made.slow = await webhook({ url: `${receiver.url}/slow`, events: ["user.deleted"], description: "Archive", rate_limit: 1 });
  made.closed = await webhook({ url: await closedPort(), events: ["user.updated"], description: "Nobody listens here" });
  made.paused = await webhook({ url: `${receiver.url}/paused`, events: ["user.created"], description: "Paused" });
  await api.patch(`/v1/webhooks/${made.paused.id}`, { paused: true });
  made.disabled = await webhook({ url: `${receiver.url}/disabled`, events: ["user.created"], active: false, description: "Disabled" });
  made.long = await webhook({
    url: `${receiver.url}/${"a-very-long-path-".repeat(8)}`,
    events: ["user.created"],
    description: "A description that goes on and on, as people write them when the field lets them, with details of the team that owns it",
    headers: { "X-Team": "platform" },
  });
  const publish = (type, data, references) => api.post("/v1/events", { type, data, references });
  made.paid = await publish("payment.succeeded", { id: "pay_1", amount: 4200, currency: "eur", order: "order_4711" }, ["order_4711", "cus_9"]);
  await publish("payment.failed", { id: "pay_2", amount: 99, reason: "card_declined" }, ["order_4712"]);
  await publish("user.created", { id: "user_1", name: "Zoë 東京 🙂", nested: { list: [1, 2, 3], deep: { a: { b: { c: true } } } } }, ["user_1"]);
  await publish("user.updated", { id: "user_1", plan: "pro" }, ["user_1"]);
  await publish("user.deleted", { id: "user_2" });
  await api.post("/v1/events/batch", {
    events: Array.from({ length: 1000 }, (_, i) => ({ type: "user.updated", data: { id: `user_${i}`, row: i }, references: [`row_${i}`] })),
  });
  made.acme = await api.post("/v1/tenants", { name: "Acme", external_id: "customer-1", metadata: { plan: "pro" } });
  made.globex = await api.post("/v1/tenants", { name: "Globex, a company with quite a long name for a table", limits: { max_webhooks: 3, publish_rate: 50 } });
  const acme = api.as("customer-1");
  made.acmeHook = await acme.post("/v1/webhooks", { url: `${receiver.url}/acme`, events: ["user.created"], secret, description: "Acme's CRM", headers: { "X-Api-Key": "acme-very-secret" } });
  made.acmeEvent = await acme.post("/v1/events", { type: "user.created", data: { id: "acme_user" }, references: ["acme_1"] });
  // The delivery of the support case has failed for good.
  made.failed = await eventually(async () => {
    const { deliveries } = await api.get(`/v1/deliveries?webhook_id=${made.broken.id}&reference=order_4711`);
    return deliveries.find((d) => d.status === "failed" && d.attempts === 2 && !d.next_attempt_at);
  }, "the delivery to the broken webhook ends");
  return made;
}
