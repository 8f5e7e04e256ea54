// The portal: a customer with a link sees and may do what the session's capabilities say, also inside another site's page,
// and nothing after the session was revoked.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { axe, clean, launch, open, settled, shot, signIn } from "./browser.mjs";
import { api, base, frames, made } from "./setup.mjs";

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

const session = (capabilities, more = {}) => api.post("/v1/portal-sessions", { tenant: "customer-1", capabilities, ...more });

/** What each capability shows on the webhook's and the delivery's screens. */
const controls = {
  test: (page) => page.getByRole("link", { name: /^Test/ }),
  retry: (page) => page.getByRole("button", { name: /^Retry/ }),
  manage: (page) => page.getByRole("button", { name: /^(Pause|Resume)/ }),
  secrets: (page) => page.getByRole("button", { name: /^Reveal/ }),
};

async function shown(page, path, capability) {
  await page.goto(`${base}/console${path}`);
  await settled(page);
  return (await controls[capability](page).count()) > 0;
}

for (const capability of ["view", "test", "retry", "manage", "secrets"]) {
  test(`a session with ${capability} shows what it may do and nothing else`, async () => {
    const { token } = await session([capability]);
    const { deliveries } = await api.as("customer-1").get("/v1/deliveries?limit=1");
    const page = await open(browser, base);
    await signIn(page, base, token);
    await settled(page);
    for (const name of ["Tenants", "Keys", "Audit log", "Portal sessions"]) {
      assert.equal(await page.getByRole("link", { name, exact: true }).count(), 0, name);
    }
    for (const other of ["test", "manage", "secrets"]) {
      assert.equal(await shown(page, `/webhooks/${made.acmeHook.id}`, other), other === capability, `${other} on the webhook's screen`);
    }
    assert.equal(await shown(page, `/deliveries/${deliveries[0].id}`, "retry"), capability === "retry");
    const text = await page.locator("body").innerText();
    assert.equal(text.includes("acme-very-secret"), capability === "secrets" && text.includes("acme-very-secret"));
    await axe(page, `portal with ${capability}`);
    await shot(page, `portal-${capability}`);
    clean(page);
    await page.context().close();
  });
}

test("a link opens the portal, with its theme, and the token leaves the address", async () => {
  const { url, token } = await session(["view"], { theme: { mode: "dark", accent: "#0a7d5a", logo_text: "Acme hooks" } });
  const page = await open(browser, base);
  await page.goto(url);
  await page.getByText("Acme hooks").first().waitFor();
  assert.ok(!page.url().includes(token));
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  await settled(page);
  await axe(page, "portal with a theme");
  clean(page);
  await page.context().close();
});

test("another tenant's things are not found", async () => {
  const { token } = await session(["view", "secrets"]);
  const page = await open(browser, base, { allow: /404/ });
  await signIn(page, base, token, `/events/${made.paid.id}`);
  await page.getByText("Not found").first().waitFor();
  await page.goto(`${base}/console/deliveries`);
  await settled(page);
  assert.equal(await page.getByText("payment.succeeded").count(), 0);
  clean(page);
  await page.context().close();
});

test("a revoked session says so, keeps what was typed, and goes on with a new token", async () => {
  const first = await session(["view", "manage"]);
  const page = await open(browser, base, { allow: /401/ });
  await signIn(page, base, first.token, "/webhooks/new");
  await settled(page);
  await page.getByLabel("URL").fill("https://example.com/typed-before-the-end");
  await api.as("customer-1").delete(`/v1/portal-sessions/${first.id}`);
  // Revoking works within 5 s in every process; the console asks every 5 s.
  const dialog = page.getByRole("dialog", { name: /session has ended/ });
  await dialog.waitFor({ timeout: 20_000 });
  assert.equal(await page.getByLabel("URL").inputValue(), "https://example.com/typed-before-the-end");
  const second = await session(["view", "manage"]);
  await dialog.getByLabel(/API key or portal token/).fill(second.url);
  await dialog.getByRole("button", { name: "Sign in" }).click();
  await dialog.waitFor({ state: "detached" });
  assert.equal(await page.getByLabel("URL").inputValue(), "https://example.com/typed-before-the-end");
  clean(page);
  await page.context().close();
});

test("the portal works inside a listed site's page, and nowhere else", { skip: frames ? false : "the stack can't be given --frame-ancestors" }, async () => {
  const { url } = await session(["view"]);
  const page = await open(browser, made.foreign);
  await page.goto(`${made.foreign}/#${encodeURIComponent(url)}`);
  const frame = page.frameLocator("iframe");
  await frame.getByRole("main").waitFor();
  await frame.getByRole("link", { name: "Webhooks", exact: true }).first().click();
  await frame.getByText("Acme's CRM").first().waitFor();
  await page.context().close();

  // Another name of the same server is another origin, and is not listed.
  const elsewhere = made.foreign.replace("127.0.0.1", "localhost");
  const refused = await open(browser, elsewhere, { allow: /frame-ancestors/ });
  const said = refused.waitForEvent("console", (m) => /frame-ancestors/.test(m.text()));
  await refused.goto(`${elsewhere}/#${encodeURIComponent(url)}`);
  await said;
  await refused.context().close();
});

test("an operator makes a link and revokes it", async () => {
  const page = await open(browser, base);
  await signIn(page, base, api.key, `/tenants/${made.acme.id}?tab=portal`);
  await settled(page);
  await page.getByRole("button", { name: "Create a portal link" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("Support call");
  await dialog.getByRole("button", { name: "Create" }).click();
  const link = await dialog.getByRole("textbox", { name: "Link" }).inputValue();
  assert.match(link, /#token=gps_/);
  await dialog.getByRole("button", { name: "Done" }).click();
  await page.goto(`${base}/console/portal-sessions?tenant=${made.acme.id}`);
  await settled(page);
  const row = page.getByRole("row", { name: /Support call/ });
  await row.getByRole("button", { name: "Revoke" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await row.waitFor({ state: "detached" });
  clean(page);
  await page.context().close();
});
