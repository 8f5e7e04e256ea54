// What the form of a webhook holds, and what it sends.
import type { CreateWebhookRequest, UpdateWebhookRequest, Webhook } from "../api/schema";

export interface HeaderRow {
  name: string;
  value: string;
}

export interface WebhookForm {
  url: string;
  description: string;
  events: string[];
  /** undefined: the headers stay as they are. */
  headers: HeaderRow[] | undefined;
  rate: string;
  timeout: string;
  attempts: string;
  secret: string;
  profile: "standard" | "commenda";
  ed25519: boolean;
  hmac: boolean;
  trace: boolean;
}

export const blank: WebhookForm = {
  url: "", description: "", events: [], headers: [], rate: "", timeout: "", attempts: "", secret: "", profile: "standard", hmac: true, ed25519: false, trace: false,
};

export function formOf(w: Webhook): WebhookForm {
  return {
    url: w.url,
    description: w.description ?? "",
    events: w.events,
    headers: w.headers && Object.keys(w.headers).length > 0 ? undefined : [],
    rate: w.rate_limit ? String(w.rate_limit) : "",
    timeout: String(w.timeout_seconds),
    attempts: String(w.max_attempts),
    secret: "",
    profile: w.profile === "commenda" ? "commenda" : "standard",
    hmac: w.signature_schemes?.includes("v1") ?? true,
    ed25519: w.signature_schemes?.includes("v1a") ?? false,
    trace: w.trace_context ?? false,
  };
}

/** What is wrong with a form before it is sent, by the API's locations. Only what would not reach the API as it is meant. */
export function problems(f: WebhookForm): Record<string, string> {
  const found: Record<string, string> = {};
  if (f.url.trim() === "") found["body.url"] = "Give the URL that gets the events.";
  if (f.events.length === 0) found["body.events"] = "Choose at least one event type.";
  for (const [location, text] of [["body.rate_limit", f.rate], ["body.timeout_seconds", f.timeout], ["body.max_attempts", f.attempts]] as const) {
    if (text.trim() !== "" && !/^\d+$/.test(text.trim())) found[location] = "Give a whole number.";
  }
  const names = (f.headers ?? []).filter((h) => h.name.trim() !== "").map((h) => h.name.trim().toLowerCase());
  const twice = names.find((n, i) => names.indexOf(n) !== i);
  if (twice !== undefined) found["body.headers"] = `The header ${twice} is there twice.`;
  if ((f.headers ?? []).some((h) => h.name.trim() === "" && h.value !== "")) found["body.headers"] = "A header has a value and no name.";
  if (f.profile === "standard" && !f.hmac && !f.ed25519) found["body.signature_schemes"] = "Choose at least one signature.";
  return found;
}

function number(text: string): number | undefined {
  return text.trim() === "" ? undefined : Number(text);
}

function headersOf(rows: HeaderRow[]): Record<string, string> {
  return Object.fromEntries(rows.filter((h) => h.name.trim() !== "").map((h) => [h.name.trim(), h.value]));
}

function schemes(f: WebhookForm): ("v1" | "v1a")[] {
  return [...(f.hmac ? (["v1"] as const) : []), ...(f.ed25519 ? (["v1a"] as const) : [])];
}

export function createBody(f: WebhookForm): CreateWebhookRequest {
  const headers = headersOf(f.headers ?? []);
  return {
    url: f.url.trim(),
    events: f.events,
    ...(f.description.trim() !== "" && { description: f.description.trim() }),
    ...(Object.keys(headers).length > 0 && { headers }),
    ...(number(f.rate) !== undefined && { rate_limit: number(f.rate)! }),
    ...(number(f.timeout) !== undefined && { timeout_seconds: number(f.timeout)! }),
    ...(number(f.attempts) !== undefined && { max_attempts: number(f.attempts)! }),
    ...(f.secret !== "" && { secret: f.secret }),
    ...(f.profile !== "standard" && { profile: f.profile }),
    ...(f.profile === "standard" && f.ed25519 && { signature_schemes: schemes(f) }),
    ...(f.trace && { trace_context: true }),
  };
}

/** Only what was changed, so that two people's changes of different members don't undo each other. */
export function updateBody(f: WebhookForm, before: Webhook): UpdateWebhookRequest {
  const old = formOf(before);
  const body: UpdateWebhookRequest = {};
  if (f.url.trim() !== old.url) body.url = f.url.trim();
  if (f.description.trim() !== old.description) body.description = f.description.trim() === "" ? null : f.description.trim();
  if (f.events.length !== old.events.length || f.events.some((e, i) => e !== old.events[i])) body.events = f.events;
  if (f.headers !== undefined && (old.headers === undefined || f.headers.some((h) => h.name.trim() !== ""))) {
    const headers = headersOf(f.headers);
    body.headers = Object.keys(headers).length > 0 ? headers : null;
  }
  if (f.rate.trim() !== old.rate) body.rate_limit = number(f.rate) ?? null;
  if (f.timeout.trim() !== old.timeout && number(f.timeout) !== undefined) body.timeout_seconds = number(f.timeout)!;
  if (f.attempts.trim() !== old.attempts && number(f.attempts) !== undefined) body.max_attempts = number(f.attempts)!;
  if (f.profile === "standard" && (f.hmac !== old.hmac || f.ed25519 !== old.ed25519)) body.signature_schemes = schemes(f);
  if (f.trace !== old.trace) body.trace_context = f.trace;
  return body;
}
