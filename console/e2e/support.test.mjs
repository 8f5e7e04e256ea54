// The story of a support case: a customer says that an order's webhook did not arrive.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually } from "./api.mjs";
import { clean, launch, open, settled, signIn } from "./browser.mjs";
import { api, base, key, made, receiver } from "./setup.mjs";

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

test("from a reference to the reason in two clicks, then a retry that proves the repair", async () => {
  const page = await open(browser, base);
  await signIn(page, base, key);
  // The reference, as the customer names it.
  await page.keyboard.press("/");
  await page.keyboard.type("order_4711");
  await page.keyboard.press("Enter");
  await settled(page);
  // Click one: the delivery that failed. The list shows it beside one that arrived.
  await page.getByRole("row").getByText("Failed", { exact: true }).first().click();
  const details = page.getByRole("complementary", { name: "Details" });
  await details.getByText(/database|500/).first().waitFor();
  // Click two is not even needed: the reason stands in words, with the next step.
  await details.getByRole("heading", { name: "Why it is not delivered" }).waitFor();
  assert.match(await details.innerText(), /500/);
  await details.getByRole("link", { name: "Open", exact: true }).click();
  await page.getByRole("heading", { level: 1, name: /Delivery/ }).waitFor();
  assert.match(page.url(), new RegExp(made.failed.id));

  // The request and the answer stand side by side.
  await page.getByText("database is locked").first().waitFor();
  await page.getByText("webhook-signature", { exact: false }).first().waitFor();

  // The receiver is mended; r sends once more.
  await receiver.answer("/broken", { status: 200, body: "thanks" });
  await page.keyboard.press("r");
  await page.getByText("Delivered", { exact: true }).first().waitFor();
  await eventually(async () => (await api.get(`/v1/deliveries/${made.failed.id}`)).status === "success", "the delivery is a success");
  clean(page);
  await page.context().close();
});

test("a signature that does not verify is explained", async () => {
  const page = await open(browser, base);
  // The request of a delivery that is among those that the receiver keeps.
  const sent = (await receiver.requests("/orders")).at(-1);
  const { deliveries } = await api.get(`/v1/events/${sent.headers["webhook-id"]}`);
  await signIn(page, base, key, `/deliveries/${deliveries.find((d) => d.webhook_id === made.healthy.id).id}`);
  await settled(page);
  await page.getByRole("button", { name: "Diagnose signature" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Headers").fill(Object.entries(sent.headers).map(([n, v]) => `${n}: ${v}`).join("\n"));
  // Parsed and written again, with a space: the most common mistake.
  await dialog.getByLabel("Body").fill(JSON.stringify(JSON.parse(sent.body), null, 1));
  await dialog.getByRole("button", { name: "Compare" }).click();
  await dialog.getByText(/parsed|written again|re-?serialis/i).first().waitFor();
  clean(page);
  await page.context().close();
});

test("an operator at all tenants finds a customer's delivery by its id", async () => {
  const [delivery] = (await api.as("customer-1").get("/v1/deliveries?limit=1")).deliveries;
  const page = await open(browser, base);
  await signIn(page, base, key);
  await page.goto(`${base}/console/events`);
  await settled(page);
  const before = await page.evaluate(() => history.length);
  await page.keyboard.press("/");
  await page.keyboard.type(delivery.id);
  await page.keyboard.press("Enter");
  // The tenant is looked up, and takes the place of the address without it.
  await page.waitForURL((url) => url.pathname === `/console/deliveries/${delivery.id}` && url.searchParams.get("of") === made.acme.id);
  await page.getByRole("heading", { level: 1, name: /user\.created/ }).waitFor();
  await page.getByText("Acme's CRM").filter({ visible: true }).first().waitFor();
  assert.equal(await page.evaluate(() => history.length), before + 1, "one step back leads to where the search began");
  await page.goBack();
  await page.waitForURL((url) => url.pathname === "/console/events");
  // A link without the tenant leads to the webhook, too.
  await page.goto(`${base}/console/webhooks/${made.acmeHook.id}`);
  await page.waitForURL((url) => url.searchParams.get("of") === made.acme.id);
  await page.getByRole("heading", { level: 1, name: "Acme's CRM" }).waitFor();
  clean(page);
  await page.context().close();
});

test("any id is found from the search box", async () => {
  const page = await open(browser, base);
  await signIn(page, base, key);
  for (const [text, address] of [
    [made.paid.id, `/events/${made.paid.id}`],
    [`"${made.failed.id}",`, `/deliveries/${made.failed.id}`],
    [made.healthy.id, `/webhooks/${made.healthy.id}`],
    [made.acme.id, `/tenants/${made.acme.id}`],
  ]) {
    await page.keyboard.press("/");
    await page.keyboard.press("Control+A");
    await page.keyboard.type(text);
    await page.keyboard.press("Enter");
    await page.waitForURL((url) => url.pathname === `/console${address}`);
    await page.getByRole("heading", { level: 1 }).first().waitFor();
    await page.locator("body").click({ position: { x: 1, y: 1 } });
  }
  clean(page);
  await page.context().close();
});
