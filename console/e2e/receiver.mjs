// A receiver of webhooks whose answers the tests choose. It keeps the last requests of each path.
import { createServer } from "node:http";

/** startReceiver listens on a free port of loopback. Paths are free; answer(path, …) sets what a path answers (200 by default). */
export async function startReceiver() {
  const answers = new Map();
  const requests = new Map();
  const server = createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const kept = requests.get(request.url) ?? [];
      kept.push({ headers: request.headers, body: Buffer.concat(chunks).toString("utf8") });
      requests.set(request.url, kept.slice(-100));
      const { status = 200, body = "", headers = {}, delay = 0 } = answers.get(request.url) ?? {};
      setTimeout(() => {
        response.writeHead(status, headers);
        response.end(body);
      }, delay);
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  return {
    url,
    answer: (path, how) => answers.set(path, how),
    requests: (path) => requests.get(path) ?? [],
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/** closedPort returns an address at which nothing listens. */
export async function closedPort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}

/** servePage serves one HTML page from an origin of its own, for the tests of embedding. */
export async function servePage(html) {
  const server = createServer((_, response) => {
    response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
    response.end(html());
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
