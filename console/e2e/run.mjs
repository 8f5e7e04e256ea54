// npm run e2e: starts the stack, the receiver and the data, and runs the browser tests against them.
//
//   GRAPNEL_DEV=path          a built cmd/dev; otherwise it is built
//   GRAPNEL_URL, GRAPNEL_KEY  a running stack instead, with an operator's key; the tests write to it
//   GRAPNEL_SCREENSHOTS=dir   keeps a picture of each screen
//   CHROMIUM=path             default /usr/bin/chromium
import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { client } from "./api.mjs";
import { servePage, startReceiver } from "./receiver.mjs";
import { seed } from "./seed.mjs";
import { startStack } from "./stack.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const chromium = process.env.CHROMIUM ?? "/usr/bin/chromium";
if (!existsSync(chromium)) {
  console.error(`${chromium} is missing: apt-get install chromium, or set CHROMIUM`);
  process.exit(1);
}

/** startControl lets the test files, which are other processes, steer the receiver. */
async function startControl(receiver) {
  const server = createServer(async (request, response) => {
    const url = new URL(request.url, "http://control");
    if (url.pathname === "/answer") {
      const chunks = [];
      for await (const chunk of request) {
        chunks.push(chunk);
      }
      const { path, how } = JSON.parse(Buffer.concat(chunks).toString("utf8"));
      receiver.answer(path, how);
      response.end();
      return;
    }
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(receiver.requests(url.searchParams.get("path"))));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, stop: () => new Promise((resolve) => server.close(resolve)) };
}

/** serve keeps the stack for work on the console and its tests: GRAPNEL_E2E lets `node --test e2e/…` use it. */
async function serve(stack, given) {
  console.log(`${stack.url}/console/#token=${stack.key}\nGRAPNEL_E2E='${JSON.stringify(given).replaceAll("'", "'\\''")}'`);
  await new Promise((resolve) => process.once("SIGINT", resolve).once("SIGTERM", resolve));
  return 0;
}

/** test runs the files whose names have one of the words in them, or all. */
async function test(given, words) {
  const files = readdirSync(here)
    .filter((name) => name.endsWith(".test.mjs") && (words.length === 0 || words.some((w) => name.includes(w))))
    .map((name) => join(here, name));
  const tests = spawn(process.execPath, ["--test", "--test-concurrency=1", "--test-reporter=spec", ...files], {
    stdio: "inherit",
    env: { ...process.env, GRAPNEL_E2E: JSON.stringify(given) },
  });
  return new Promise((resolve) => tests.once("exit", (c) => resolve(c ?? 1)));
}

const stops = [];
let code = 1;
try {
  const receiver = await startReceiver();
  stops.unshift(receiver.stop);
  const control = await startControl(receiver);
  stops.unshift(control.stop);
  // The page that embeds the console shows the address in its fragment.
  const foreign = await servePage(
    () => `<!doctype html><title>A customer's page</title><iframe name="portal" width="1000" height="700"></iframe>
<script>document.querySelector("iframe").src = decodeURIComponent(location.hash.slice(1))</script>`,
  );
  stops.unshift(foreign.stop);
  const stack = await startStack({ "frame-ancestors": foreign.url });
  stops.unshift(stack.stop);
  const made = await seed(client(stack.url, stack.key), receiver);
  made.foreign = foreign.url;
  const given = {
    url: stack.url,
    key: stack.key,
    receiver: receiver.url,
    control: control.url,
    frames: stack.supports("frame-ancestors"),
    made,
  };
  code = process.argv[2] === "serve" ? await serve(stack, given) : await test(given, process.argv.slice(2));
} catch (err) {
  console.error(err);
} finally {
  for (const stop of stops) {
    await stop();
  }
}
process.exit(code);
