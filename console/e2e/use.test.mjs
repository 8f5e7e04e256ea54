// Using the console: a webhook from nothing to a tested one, a replay, the keyboard, back and forward, an API that goes away.
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

test("create a webhook and test it", async () => {
  const page = await open(browser, base, { allow: /422/ });
  await signIn(page, base, key, "/webhooks/new");
  await settled(page);
  const url = page.getByRole("textbox", { name: "URL", exact: true });
  // An operator says for whom it is.
  await page.getByRole("main").getByLabel("Tenant", { exact: true }).selectOption({ label: "default" });
  await url.fill("ftp://127.0.0.1/");
  await page.getByRole("checkbox", { name: /user\.created/ }).first().check();
  await page.getByRole("button", { name: /^Create/ }).click();
  // What is wrong stands at the field.
  await url.and(page.locator("[aria-invalid=true]")).waitFor();
  await url.fill(`${receiver.url}/from-the-console`);
  await page.getByRole("button", { name: /^Create/ }).click();
  await page.getByRole("heading", { name: "The webhook is created" }).waitFor();
  await page.getByRole("link", { name: "Send a test" }).click();
  await page.getByRole("button", { name: "Send the test" }).click();
  await page.getByText("HTTP 200").first().waitFor();
  await eventually(async () => (await receiver.requests("/from-the-console")).length > 0, "the receiver has the test");
  const [sent] = await receiver.requests("/from-the-console");
  assert.equal(sent.headers["webhook-test"], "true");
  clean(page);
  await page.context().close();
});

test("send again from a delivery on, with progress", async () => {
  const page = await open(browser, base);
  const { deliveries } = await api.get(`/v1/deliveries?webhook_id=${made.refusing.id}`);
  await receiver.answer("/refusing", { status: 200 });
  await signIn(page, base, key, `/deliveries/${deliveries.at(-1).id}`);
  await settled(page);
  await page.getByRole("link", { name: /Replay from here/ }).click();
  await page.waitForURL(/\/replays\/new/);
  await settled(page);
  await page.getByRole("radio", { name: /Everything/ }).check();
  await page.getByRole("button", { name: "Estimate" }).click();
  await page.getByText(/would be sent/).first().waitFor();
  await page.getByRole("button", { name: /^Start/ }).click();
  await page.waitForURL(/\/replays\/rpl_/);
  await page.getByRole("progressbar").first().waitFor();
  await page.getByText("Completed", { exact: true }).first().waitFor({ timeout: 60_000 });
  clean(page);
  await page.context().close();
});

test("hand-picked deliveries are sent again", async () => {
  const page = await open(browser, base);
  await signIn(page, base, key, `/deliveries?webhook_id=${made.healthy.id}`);
  await settled(page);
  const boxes = page.getByRole("checkbox", { name: /^Choose/ });
  await boxes.nth(0).check();
  await boxes.nth(1).check();
  await page.getByRole("link", { name: "Replay 2 chosen" }).click();
  await page.waitForURL(/\/replays\/new/);
  await page.getByRole("button", { name: /^Start/ }).click();
  await page.waitForURL(/\/replays\/rpl_/);
  await page.getByText("Completed", { exact: true }).first().waitFor({ timeout: 60_000 });
  clean(page);
  await page.context().close();
});

test("the keyboard is enough", async () => {
  const page = await open(browser, base);
  await signIn(page, base, key, "/deliveries");
  await settled(page);
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("k");
  assert.equal(await page.locator("tr[data-current=true]").count(), 1);
  // The row's link has the focus, so Enter opens the delivery; beside the list j and k move from one to the next.
  await page.keyboard.press("Enter");
  await page.waitForURL(/deliveries\/del_/);
  await page.goBack();
  await settled(page);
  await page.getByRole("row").nth(1).locator(".state").click();
  await page.getByRole("complementary", { name: "Details" }).waitFor();
  const first = new URL(page.url()).searchParams.get("sel");
  await page.keyboard.press("j");
  await page.waitForURL((url) => ![null, first].includes(url.searchParams.get("sel")));
  await page.keyboard.press("Escape");
  await page.getByRole("complementary", { name: "Details" }).waitFor({ state: "detached" });
  await page.keyboard.press("?");
  await page.getByRole("dialog").getByText(/search by any id/).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  // Tab reaches the skip link, the navigation and the filters, in this order, and what has the focus is seen.
  await page.goto(`${base}/console/deliveries`);
  await settled(page);
  await page.keyboard.press("Tab");
  assert.match(await page.evaluate(() => document.activeElement?.textContent ?? ""), /skip/i);
  const seen = new Set();
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press("Tab");
    seen.add(await page.evaluate(() => document.activeElement?.closest("nav,header,main")?.tagName ?? "none"));
  }
  assert.ok(seen.has("MAIN"), `Tab reached ${[...seen].join(", ")}`);
  clean(page);
  await page.context().close();
});

test("filters live in the address, and back and forward walk them", async () => {
  const page = await open(browser, base);
  await signIn(page, base, key, "/deliveries");
  await settled(page);
  await page.getByRole("button", { name: /Failed for good/ }).click();
  await page.waitForURL(/undelivered=true/);
  await page.getByRole("row", { name: /payment/ }).first().locator(".state").click();
  await page.waitForURL(/sel=del_/);
  await page.goBack();
  await page.waitForURL((url) => !url.search.includes("sel="));
  await page.goBack();
  await page.waitForURL((url) => !url.search.includes("undelivered"));
  await page.goForward();
  await page.waitForURL(/undelivered=true/);
  await page.reload();
  await settled(page);
  assert.equal(await page.getByRole("button", { name: /Failed for good/ }).getAttribute("aria-pressed"), "true");
  clean(page);
  await page.context().close();
});

test("a list shows new deliveries without losing the selected one", async () => {
  const page = await open(browser, base);
  await signIn(page, base, key, `/deliveries?webhook_id=${made.healthy.id}`);
  await settled(page);
  await page.getByRole("row").nth(1).locator(".state").click();
  await page.waitForURL(/sel=del_/);
  const before = new URL(page.url()).searchParams.get("sel");
  const event = await api.post("/v1/events", { type: "payment.failed", data: { live: true }, references: ["live_1"] });
  const found = await eventually(async () => (await api.get(`/v1/events/${event.id}`)).deliveries.find((d) => d.webhook_id === made.healthy.id), "a delivery");
  await page.locator(`tr[data-id="${found.id}"]`).waitFor();
  assert.equal(new URL(page.url()).searchParams.get("sel"), before);
  clean(page);
  await page.context().close();
});

test("an API that is away is said, and comes back", async () => {
  const page = await open(browser, base, { allow: /Failed to load resource/ });
  await signIn(page, base, key, "/deliveries");
  await settled(page);
  await page.route("**/v1/**", (route) => route.abort("connectionrefused"));
  await page.getByRole("link", { name: "Events", exact: true }).first().click();
  await page.getByText(/does not answer/i).first().waitFor();
  const again = page.getByRole("button", { name: "Try again" }).first();
  await again.waitFor();
  await page.unroute("**/v1/**");
  await again.click();
  await page.getByText("user.updated").first().waitFor();
  clean(page);
  await page.context().close();
});

test("a tenant's token sees its own things only, and no operator's screens", async () => {
  const acme = api.as("customer-1");
  const created = await acme.post("/v1/api-keys", { name: "Acme's admin", scopes: ["admin"] });
  const page = await open(browser, base);
  await signIn(page, base, created.key, "/deliveries");
  await settled(page);
  await page.getByText("user.created").first().waitFor();
  assert.equal(await page.getByText("payment.failed").count(), 0);
  assert.equal(await page.getByRole("link", { name: "Tenants", exact: true }).count(), 0);
  clean(page);
  await page.context().close();
});

test("an operator suspends a tenant and lets it go on", async () => {
  const page = await open(browser, base);
  await signIn(page, base, key, `/tenants/${made.globex.id}`);
  await settled(page);
  await page.getByRole("button", { name: "Suspend" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Suspend" }).click();
  await page.getByText("Suspended", { exact: true }).first().waitFor();
  await page.getByRole("button", { name: "Make active" }).click();
  await page.getByText("Active", { exact: true }).first().waitFor();
  clean(page);
  await page.context().close();
});

test("a tenant is deleted, with progress", async () => {
  const doomed = await api.post("/v1/tenants", { name: "Doomed" });
  const page = await open(browser, base, { allow: /404/ });
  await signIn(page, base, key, `/tenants/${doomed.id}`);
  await settled(page);
  await page.getByRole("button", { name: "Delete" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("textbox").fill("Doomed");
  await dialog.getByRole("button", { name: "Delete" }).click();
  await page.getByText(/Being deleted|has been deleted/).first().waitFor();
  await eventually(async () => (await api.call("GET", `/v1/tenants/${doomed.id}`)).status === 404, "the tenant is gone");
  await page.getByText(/has been deleted/).first().waitFor();
  clean(page);
  await page.context().close();
});
