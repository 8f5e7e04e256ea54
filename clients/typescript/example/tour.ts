// Creates a webhook at the dev stack's receiver, publishes an event and prints its deliveries.
//
//   go -C cmd/dev run .                                  # prints the API key
//   GRAPNEL_KEY=gk_… npm run example
import { createGrapnel, unwrap } from "../src/index.js";

const grapnel = createGrapnel({
  url: process.env["GRAPNEL_URL"] ?? "http://127.0.0.1:8080",
  key: process.env["GRAPNEL_KEY"] ?? "",
});
const receiver = process.env["RECEIVER_URL"] ?? "http://127.0.0.1:9000";

const webhook = await unwrap(grapnel.POST("/v1/webhooks", { body: { url: `${receiver}/`, events: ["user.created"] } }));
console.log(`webhook ${webhook.id}, which signs with ${webhook.secret}`);

try {
  const event = await unwrap(grapnel.POST("/v1/events", { body: { type: "user.created", data: { id: "user_123" } } }));
  console.log(`event ${event.id} for ${event.deliveries} webhook(s)`);

  const deadline = Date.now() + 10_000;
  for (;;) {
    const log = await unwrap(grapnel.GET("/v1/webhooks/{id}/deliveries", { params: { path: { id: webhook.id } } }));
    const delivery = log.deliveries[0];
    if (delivery && delivery.status !== "pending") {
      console.log(`delivery ${delivery.id}: ${delivery.status}, HTTP ${delivery.status_code}, attempts: ${delivery.attempts}`);
      break;
    }
    if (Date.now() > deadline) {
      throw new Error("no delivery after 10 seconds");
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
} finally {
  await unwrap(grapnel.DELETE("/v1/webhooks/{id}", { params: { path: { id: webhook.id } } }));
}
