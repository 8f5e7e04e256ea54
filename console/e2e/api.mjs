// A small client for what the tests set up. The tests' subject is the console, so this is plain fetch.
import assert from "node:assert/strict";

export function client(url, key, tenant) {
  const call = async (method, path, body, headers = {}) => {
    const response = await fetch(url + path, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(tenant ? { "grapnel-tenant": tenant } : {}),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, body: text && /json/.test(response.headers.get("content-type") ?? "") ? JSON.parse(text) : text };
  };
  const ok = async (method, path, body) => {
    const answer = await call(method, path, body);
    assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  return {
    url,
    key,
    call,
    get: (path) => ok("GET", path),
    post: (path, body) => ok("POST", path, body),
    patch: (path, body) => ok("PATCH", path, body),
    put: (path, body) => ok("PUT", path, body),
    delete: (path) => ok("DELETE", path),
    as: (other) => client(url, key, other),
  };
}

/** eventually repeats read until it returns something true, and returns that. Nothing is slept away without a deadline. */
export async function eventually(read, what, deadline = 30_000) {
  const end = Date.now() + deadline;
  let last;
  for (;;) {
    try {
      const value = await read();
      if (value) {
        return value;
      }
      last = undefined;
    } catch (err) {
      last = err;
    }
    if (Date.now() > end) {
      throw new Error(`not within ${deadline / 1000} s: ${what}${last ? ` (${last.message})` : ""}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
