// A typed client of Grapnel's API. schema.ts is generated from the OpenAPI document; this adds the key, and errors.
import createClient, { type Client, type ClientOptions } from "openapi-fetch";

import type { paths, Problem } from "./schema.js";

export type * from "./schema.js";

/** The API's operations, by method and path: `client.POST("/v1/events", …)`. */
export type Grapnel = Client<paths>;

export interface GrapnelOptions extends Omit<ClientOptions, "baseUrl"> {
  /** Where the API is, as http://127.0.0.1:8080. */
  url: string;
  /** The API key that every request sends. */
  key: string;
  /** The tenant for which every request acts, by its id or external id, if `key` is a platform key. */
  tenant?: string;
}

/** The API reads a list in a query as one value, separated by commas. */
const lists = { array: { style: "form", explode: false } } as const;

/** Creates a client of the API at `url` that sends `key` with every request. */
export function createGrapnel({ url, key, tenant, headers, ...options }: GrapnelOptions): Grapnel {
  const client = createClient<paths>({ querySerializer: lists, ...options, baseUrl: url, ...(headers && { headers }) });
  client.use({
    onRequest({ request }) {
      request.headers.set("Authorization", `Bearer ${key}`);
      if (tenant !== undefined) request.headers.set("Grapnel-Tenant", tenant);
      return request;
    },
  });
  return client;
}

/** The error of a request, with the API's problem if the answer has one. */
export class GrapnelError extends Error {
  readonly status: number;
  readonly problem: Problem | undefined;

  constructor(status: number, problem: Problem | undefined) {
    const places = problem?.errors?.map((e) => `${e.location} ${e.message}`).join("; ");
    super([problem?.detail ?? problem?.title ?? `the server answered ${status}`, places].filter(Boolean).join(": "));
    this.name = "GrapnelError";
    this.status = status;
    this.problem = problem;
  }
}

/** Waits for an answer and returns its body. Throws a GrapnelError unless the answer is a success. */
export async function unwrap<T>(answer: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await answer;
  if (!response.ok) {
    // An answer that is not a problem comes from a proxy between the client and the API.
    throw new GrapnelError(response.status, isProblem(error) ? error : undefined);
  }
  return data as T;
}

function isProblem(error: unknown): error is Problem {
  return typeof error === "object" && error !== null && "code" in error;
}

/**
 * Sends a message's text unchanged; without it, openapi-fetch would encode the text as JSON:
 * `client.POST("/topics/{cacheName}/{topicName}", { ...asText, params, body: "Hello" })`.
 */
export const asText = {
  headers: { "Content-Type": "text/plain; charset=utf-8" },
  bodySerializer: (body: unknown) => String(body),
};
