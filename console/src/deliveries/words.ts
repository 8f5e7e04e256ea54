import type { DeliveryStatus, ErrorClass, NotDeliveredReason, WaitReason } from "../api/schema";

const errors: Record<ErrorClass, string> = {
  status: "refused by status",
  redirect: "redirect",
  timeout: "time-out",
  refused: "connection refused",
  reset: "connection reset",
  unreachable: "unreachable",
  dns: "name not found",
  tls: "TLS failed",
  blocked: "blocked destination",
  too_large: "body too large",
  protocol: "no valid HTTP",
  other: "other failure",
};

/** errorWords names a class of failure. A class that this build does not know is shown as it is. */
export function errorWords(c: ErrorClass): string {
  return errors[c] ?? c;
}

/** errorClasses are the classes to filter by, with their words. */
export const errorClasses = Object.entries(errors) as [ErrorClass, string][];

const statuses: Record<DeliveryStatus, string> = {
  pending: "pending",
  success: "delivered",
  failed: "failed",
  canceled: "canceled",
  timed_out: "timed out",
  dropped: "dropped",
};

/** deliveryStatuses are the statuses to filter by, with their words. */
export const deliveryStatuses = Object.entries(statuses) as [DeliveryStatus, string][];

const waits: Record<WaitReason, string> = {
  tenant_suspended: "Waits: the account is suspended",
  paused: "Waits: the webhook is paused",
  endpoint_unavailable: "Waits: the endpoint does not answer",
  rate_limited: "Waits: the webhook is at its rate limit",
  in_flight_limit: "Waits: too many requests are in flight",
};

export function waitWords(r: WaitReason): string {
  return waits[r] ?? `Waits: ${r}`;
}

const reasons: Record<NotDeliveredReason, string> = {
  "not subscribed": "Not subscribed to this event type then.",
  inactive: "Disabled when the event was published.",
  "created later": "Created after the event was published.",
};

/** notDeliveredWords says why a webhook got nothing, and what to do where something can be done. */
export function notDeliveredWords(r: NotDeliveredReason): string {
  return reasons[r] ?? r;
}
