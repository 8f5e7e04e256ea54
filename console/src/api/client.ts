import createClient from "openapi-fetch";

import { sentence } from "../lib/numbers";
import type { paths, Problem } from "./schema";
import { lists, origin, prepare } from "./transport";

/** The API's operations, by method and path: `api.GET("/v1/webhooks", …)`. Read answers with `unwrap`. */
export const api = createClient<paths>({ baseUrl: origin, querySerializer: lists });
api.use(prepare);

/** An answer that is no success, with the API's problem if it has one; status 0 if there was no answer. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly problem?: Problem,
    /** Seconds until another try is welcome. */
    readonly retryAfter?: number,
  ) {
    super(problem?.detail !== undefined ? sentence(problem.detail) : problem?.title !== undefined ? sentence(problem.title) : status === 0 ? "The server does not answer." : `The server answered ${status}.`);
    this.name = "ApiError";
  }

  /** What is wrong at a location, such as body.url or body.headers: also below it. */
  at(location: string): string | undefined {
    const found = this.problem?.errors?.filter((e) => e.location === location || e.location.startsWith(`${location}.`) || e.location.startsWith(`${location}[`) || e.location.startsWith(`${location}/`));
    return found?.length ? found.map((e) => sentence(e.message)).join(" ") : undefined;
  }

  /** The errors at none of the locations, which a form must show elsewhere. */
  elsewhere(locations: readonly string[]): { location: string; message: string }[] {
    return (this.problem?.errors ?? []).filter((e) => !locations.some((l) => e.location === l || e.location.startsWith(`${l}.`) || e.location.startsWith(`${l}[`) || e.location.startsWith(`${l}/`)));
  }
}

/** Waits for an answer and returns its body. Throws an ApiError unless the answer is a success. */
export async function unwrap<T>(answer: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  let result;
  try {
    result = await answer;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0);
  }
  const { data, error, response } = result;
  if (!response.ok) {
    const after = Number(response.headers.get("Retry-After"));
    throw new ApiError(response.status, isProblem(error) ? error : undefined, Number.isFinite(after) && after > 0 ? after : undefined);
  }
  return data as T;
}

function isProblem(error: unknown): error is Problem {
  return typeof error === "object" && error !== null && "code" in error;
}

/**
 * The header by which a request acts for a tenant: `api.GET("/v1/webhooks", { ...acting(tenant), params })`. undefined is the
 * token's own tenant, "*" all tenants (for lists, and platform keys only).
 */
export function acting(tenant: string | undefined): { headers?: { "Grapnel-Tenant": string } } {
  return tenant === undefined ? {} : { headers: { "Grapnel-Tenant": tenant } };
}
