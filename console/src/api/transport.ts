// What every request to the API shares: where it goes, the token it carries, and the end of a session.
import type { Middleware } from "openapi-fetch";

const place = "grapnel.token";

/** Where the API is: the origin that the console was loaded from. */
export const origin = globalThis.location?.origin ?? "http://localhost";

/** The API reads a list in a query as one value, separated by commas. */
export const lists = { array: { style: "form", explode: false } } as const;

// A browser may refuse storage to a page inside another one. The token then lasts as long as the page.
let memory: string | undefined;
let remembered = false;

export function token(): string | undefined {
  if (!remembered) {
    remembered = true;
    try {
      memory = sessionStorage.getItem(place) ?? undefined;
    } catch {
      memory = undefined;
    }
  }
  return memory;
}

export function setToken(value: string | undefined): void {
  memory = value;
  remembered = true;
  try {
    if (value === undefined) sessionStorage.removeItem(place);
    else sessionStorage.setItem(place, value);
  } catch {
    // see above
  }
}

/**
 * Takes a token out of the address's fragment (#token=…) and keeps it. The fragment is removed at once, so that the token
 * is neither in the history nor in a copied address.
 */
export function takeTokenFromAddress(): void {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given === null) return;
  history.replaceState(history.state, "", location.pathname + location.search);
  if (given.trim() !== "") setToken(given.trim());
}

type Listener = () => void;

/** A value that components subscribe to. */
export class Signal<T> {
  private readonly listeners = new Set<Listener>();
  constructor(private value: T) {}
  get = (): T => this.value;
  set(value: T): void {
    if (Object.is(value, this.value)) return;
    this.value = value;
    for (const l of [...this.listeners]) l();
  }
  subscribe = (l: Listener): Listener => {
    this.listeners.add(l);
    return () => this.listeners.delete(l);
  };
}

/** Why the session has ended: the API's words. undefined while it lasts. */
export const ended = new Signal<string | undefined>(undefined);

/** Whether the last request got no answer. */
export const unreachable = new Signal<boolean>(false);

export const prepare: Middleware = {
  onRequest({ request }) {
    const t = token();
    if (t !== undefined && !request.headers.has("Authorization")) request.headers.set("Authorization", `Bearer ${t}`);
    return request;
  },
  async onResponse({ request, response }) {
    unreachable.set(response.status === 502 || response.status === 503 || response.status === 504);
    // A request that began with an older token says nothing about the present one.
    const sent = request.headers.get("Authorization") ?? "";
    if (response.status === 401 && sent === (token() === undefined ? "" : `Bearer ${token()}`)) {
      const problem = (await response.clone().json().catch(() => undefined)) as { detail?: string } | undefined;
      ended.set(problem?.detail ?? "The token is no longer valid.");
    }
    return response;
  },
  onError({ error }) {
    if (!(error instanceof DOMException && error.name === "AbortError")) unreachable.set(true);
  },
};
