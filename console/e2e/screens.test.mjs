// Every screen with real data: it renders, in light and dark, on a wide window and a phone's, without a violation of
// WCAG 2.2 AA that axe finds, without sideways scrolling, and without a request to another origin.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { axe, clean, launch, noOverflow, open, phone, settled, shot, signIn, wide } from "./browser.mjs";
import { api, base, key, made } from "./setup.mjs";

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

const healthy = (await api.get(`/v1/deliveries?webhook_id=${made.healthy.id}&limit=1`)).deliveries[0];
const replay = await api.post("/v1/replays", { webhook_ids: [made.healthy.id], status: "all", event_types: ["payment.*"], since: new Date(Date.now() - 3_600_000).toISOString() });
const since = encodeURIComponent(new Date(Date.now() - 3_600_000).toISOString());

// name, path, text that only this screen's data has
const screens = [
  ["home", "/", /Broken|Billing|failing|attention/i],
  ["webhooks", "/webhooks", "Billing"],
  ["webhook", `/webhooks/${made.broken.id}`, "Billing"],
  ["webhook-new", "/webhooks/new", "payment"],
  ["webhook-edit", `/webhooks/${made.long.id}/edit`, /URL/],
  ["event-types", "/event-types", "payment"],
  ["deliveries", "/deliveries", /user\.updated/],
  ["deliveries-filtered", "/deliveries?status=failed&error_class=status", /payment\.failed/],
  ["deliveries-beside", `/deliveries?sel=${healthy.id}`, healthy.event_type],
  ["deliveries-none", "/deliveries?reference=there-is-no-such-order", /No deliveries/],
  ["delivery", `/deliveries/${healthy.id}`, "HTTP 200"],
  ["delivery-failed", `/deliveries/${made.failed.id}`, /Why it is not delivered/],
  ["events", "/events", "user.updated"],
  ["events-none", "/events?type=user.suspended", /No events/],
  ["event", `/events/${made.paid.id}`, "order_4711"],
  ["replays", "/replays", "payment.*"],
  ["replay", `/replays/${replay.id}`, /payment\.\*/],
  ["replay-new", `/replays/new?since=${since}`, "Since"],
  ["tenants", "/tenants", "Acme"],
  ["tenant", `/tenants/${made.acme.id}`, "customer-1"],
  ["keys", "/keys", "operator"],
  ["portal-sessions", "/portal-sessions", /Portal/],
  ["audit-log", "/audit-log", "webhook.created"],
];

// Both widths and both themes; all four pairs only where pictures are wanted, since each takes a minute.
const looks = [
  ["1440", wide, "light"],
  ["390", phone, "dark"],
  ...(process.env.GRAPNEL_SCREENSHOTS ? [["1440", wide, "dark"], ["390", phone, "light"]] : []),
];

for (const [size, viewport, scheme] of looks) {
  describe(`${size} px, ${scheme}`, () => {
    let page;
    before(async () => {
      page = await open(browser, base, { viewport, scheme });
      await signIn(page, base, key);
    });
    after(() => page?.context().close());
    for (const [name, path, text] of screens) {
      test(name, async () => {
        await page.goto(`${base}/console${path}`);
        await settled(page);
        await page.getByText(text).filter({ visible: true }).first().waitFor();
        await shot(page, `${name}-${size}-${scheme}`);
        await noOverflow(page, name);
        await axe(page, name);
        clean(page);
      });
    }
  });
}

test("what is not there says so", async () => {
  const page = await open(browser, base, { allow: /404/ });
  await signIn(page, base, key, "/deliveries/del_01kab1s6rzfkqbzry2kztmfpx1");
  await page.getByRole("alert").first().waitFor();
  await page.goto(`${base}/console/there-is-no-such-screen`);
  await page.getByText(/no such page|not found/i).first().waitFor();
  assert.ok((await page.getByRole("link").count()) > 0, "a way out");
  clean(page);
  await page.context().close();
});
