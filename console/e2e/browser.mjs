// Chromium for the tests, and what every page is held to: no request to another origin, no violation of the
// Content-Security-Policy, no uncaught error.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const shots = process.env.GRAPNEL_SCREENSHOTS;

export const wide = { width: 1440, height: 900 };
export const phone = { width: 390, height: 844 };

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/**
 * open returns a page in a context of its own. faults collects what must not happen; check it with clean(page).
 * A test that expects failed requests says so with allow: a pattern of console messages.
 */
export async function open(browser, base, { viewport = wide, scheme = "light", allow } = {}) {
  const context = await browser.newContext({ viewport, colorScheme: scheme, reducedMotion: "reduce" });
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: new URL(base).origin });
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  const faults = [];
  const origin = new URL(base).origin;
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (!["data:", "blob:"].includes(url.protocol) && url.origin !== origin) {
      faults.push(`request to another origin: ${request.url()}`);
    }
  });
  page.on("pageerror", (err) => faults.push(`uncaught: ${err.stack ?? err.message}`));
  page.on("console", (message) => {
    const text = message.text();
    const { url } = message.location();
    if (message.type() === "error" && !(allow && allow.test(text))) {
      faults.push(`console: ${text} (${url})`);
    }
  });
  await context.addInitScript(() => {
    window.addEventListener("securitypolicyviolation", (e) => {
      console.error(`Content-Security-Policy: ${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`);
    });
  });
  page.faults = faults;
  return page;
}

export function clean(page) {
  assert.deepEqual(page.faults, []);
}

/** signIn opens a path of the console with a token in the fragment, as the links of the dev stack and the portal do. */
export async function signIn(page, base, token, path = "/") {
  await page.goto(`${base}/console${path}#token=${token}`);
  await page.getByRole("main").waitFor();
  assert.ok(!page.url().includes(token), "the token is gone from the address");
}

/** settled waits until a screen has its data: a heading, and no skeleton. */
export async function settled(page) {
  await page.getByRole("heading", { level: 1 }).first().waitFor();
  await page.waitForFunction(() => document.querySelector("main .skeleton, [aria-busy=true]") === null);
}

/** axe fails on any violation of WCAG 2.2 A and AA. */
export async function axe(page, what) {
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() =>
    window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], resultTypes: ["violations"] }),
  );
  const found = violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => `${n.target.join(" ")} ${n.failureSummary?.split("\n").slice(1, 2).join(" ")}`).join(" | ")}`);
  assert.deepEqual(found, [], what);
}

/** shot keeps a picture in $GRAPNEL_SCREENSHOTS, if that is set. */
export async function shot(page, name) {
  if (shots) {
    mkdirSync(shots, { recursive: true });
    await page.screenshot({ path: join(shots, `${name}.png`), fullPage: false });
  }
}

/** noOverflow fails if the page can be scrolled sideways. */
export async function noOverflow(page, what) {
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(wider <= 0, `${what}: the page is ${wider} px wider than the window`);
}
