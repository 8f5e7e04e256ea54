import type { Delivery, DeliveryStatus, Replay, Webhook } from "../api/schema";

export type Tone = "ok" | "bad" | "warn" | "off" | "wait" | "busy";

// A shape for each tone, so that colour is never alone.
const shapes: Record<Tone, React.ReactNode> = {
  ok: <path d="m2.2 6.3 2.5 2.5 5-5.4" fill="none" stroke="currentColor" strokeWidth={2} />,
  bad: <path d="m2.6 2.6 6.8 6.8M9.4 2.6 2.6 9.4" fill="none" stroke="currentColor" strokeWidth={2} />,
  warn: <path d="M6 1.2 11.2 10.5H.8z" fill="currentColor" />,
  off: <path d="M2 5h8v2H2z" fill="currentColor" />,
  wait: <path d="M2.5 2h2.4v8H2.5zM7.1 2h2.4v8H7.1z" fill="currentColor" />,
  busy: <circle cx={6} cy={6} r={4} fill="none" stroke="currentColor" strokeWidth={2} />,
};

/** A state: a shape and a word. */
export function State({ tone, children, title }: { tone: Tone; children: React.ReactNode; title?: string }) {
  return (
    <span className={`state ${tone}`} title={title}>
      <svg width={12} height={12} viewBox="0 0 12 12" aria-hidden="true" focusable="false">
        {shapes[tone]}
      </svg>
      {children}
    </span>
  );
}

/** How a webhook is. */
export function webhookState(w: Pick<Webhook, "status" | "active" | "paused">): { tone: Tone; word: string } {
  if (!w.active) return { tone: "off", word: "Disabled" };
  if (w.paused) return { tone: "wait", word: "Paused" };
  switch (w.status) {
    case "healthy":
      return { tone: "ok", word: "Healthy" };
    case "failing":
      return { tone: "warn", word: "Failing" };
    case "failed":
      return { tone: "bad", word: "Failed" };
    case "disabled":
      return { tone: "off", word: "Disabled" };
  }
}

export function WebhookState({ webhook }: { webhook: Pick<Webhook, "status" | "active" | "paused" | "status_reason"> }) {
  const { tone, word } = webhookState(webhook);
  return (
    <State tone={tone} title={webhook.status_reason}>
      {word}
    </State>
  );
}

const deliveryWords: Record<DeliveryStatus, { tone: Tone; word: string }> = {
  pending: { tone: "busy", word: "Pending" },
  success: { tone: "ok", word: "Delivered" },
  failed: { tone: "bad", word: "Failed" },
  canceled: { tone: "off", word: "Canceled" },
  timed_out: { tone: "bad", word: "Timed out" },
  dropped: { tone: "bad", word: "Dropped" },
};

/** How a delivery is: a failed one with an attempt to come is retrying, one that waits for its webhook is held. */
export function deliveryState(d: Pick<Delivery, "status" | "next_attempt_at" | "waiting">): { tone: Tone; word: string } {
  if (d.waiting) return { tone: "wait", word: "Held" };
  if (d.status === "failed" && d.next_attempt_at !== undefined) return { tone: "warn", word: "Retrying" };
  return deliveryWords[d.status];
}

export function DeliveryState({ delivery }: { delivery: Pick<Delivery, "status" | "next_attempt_at" | "waiting"> }) {
  const { tone, word } = deliveryState(delivery);
  return <State tone={tone}>{word}</State>;
}

/** Why a delivery is held, in words. */
export const waitWords: Record<string, string> = {
  tenant_suspended: "the account is suspended",
  paused: "the webhook is paused",
  endpoint_unavailable: "the endpoint does not answer",
  rate_limited: "the webhook is at its rate limit",
  in_flight_limit: "the webhook has its largest number of requests in flight",
};

export function ReplayState({ replay }: { replay: Pick<Replay, "state"> }) {
  switch (replay.state) {
    case "running":
      return <State tone="busy">Running</State>;
    case "paused":
      return <State tone="wait">Paused</State>;
    case "completed":
      return <State tone="ok">Completed</State>;
    case "canceled":
      return <State tone="off">Canceled</State>;
  }
}
