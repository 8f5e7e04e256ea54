import type { Attempt, Delivery, DeliveryDetail, Explanation } from "../api/schema";
import { errorWords, waitWords } from "./words";

/** A point in a delivery's life, for the line from publish to end. */
export interface Step {
  kind: "published" | "omitted" | "attempt" | "waiting" | "next" | "end";
  /** good, bad and wait decide the shape; the words are always there too. */
  tone: "good" | "bad" | "wait" | "plain";
  title: string;
  detail?: string;
  at?: string;
  attempt?: Attempt;
}

/** hasEnded reports whether no further attempt will be made by itself. */
export function hasEnded(d: Delivery): boolean {
  return d.next_attempt_at === undefined && d.waiting === undefined && d.status !== "pending";
}

/** lifecycle returns a delivery's steps, the oldest first. */
export function lifecycle(d: DeliveryDetail): Step[] {
  const steps: Step[] = [
    {
      kind: "published",
      tone: "plain",
      title: d.test ? "Test sent" : d.replay_id ? "Sent again by a replay" : "Event published",
      at: d.created_at,
    },
  ];
  if (d.attempts_omitted) {
    steps.push({
      kind: "omitted",
      tone: "plain",
      title: `${d.attempts_omitted} earlier ${d.attempts_omitted === 1 ? "attempt is" : "attempts are"} not shown`,
      detail: "The log is too long to be shown whole.",
    });
  }
  for (const a of d.attempt_log) {
    steps.push({
      kind: "attempt",
      tone: a.error ? "bad" : "good",
      title: `Attempt ${a.number}${a.manual ? ", by hand" : ""}: ${attemptResult(a)}`,
      at: a.started_at,
      attempt: a,
    });
  }
  if (d.waiting) {
    steps.push({ kind: "waiting", tone: "wait", title: waitWords(d.waiting.reason), at: d.waiting.since });
    if (d.waiting.next_probe_at) {
      steps.push({ kind: "next", tone: "wait", title: "The endpoint is tried again", at: d.waiting.next_probe_at });
    }
  } else if (d.next_attempt_at) {
    steps.push({ kind: "next", tone: "wait", title: `Attempt ${d.attempts + 1} is due`, at: d.next_attempt_at });
  } else if (d.status === "pending") {
    steps.push({ kind: "next", tone: "wait", title: "First attempt in progress" });
  } else {
    steps.push(end(d));
  }
  return steps;
}

/** attemptResult says in a few words how an attempt ended. */
export function attemptResult(a: Attempt): string {
  if (a.error && a.error.class !== "status") {
    return errorWords(a.error.class);
  }
  return a.response ? `HTTP ${a.response.status_code}` : (a.error?.message ?? "success");
}

function end(d: DeliveryDetail): Step {
  switch (d.status) {
    case "success":
      return { kind: "end", tone: "good", title: "Delivered", at: d.delivered_at };
    case "canceled":
      return { kind: "end", tone: "bad", title: "Canceled", detail: d.error };
    case "timed_out":
      return { kind: "end", tone: "bad", title: "No answer in time; a Momento message is sent once only" };
    case "dropped":
      return { kind: "end", tone: "bad", title: "May or may not have arrived; a Momento message is sent once only" };
    default:
      return { kind: "end", tone: "bad", title: d.test ? "Failed; a test is sent once only" : "Failed for good" };
  }
}

/**
 * whyNot returns the explanation to show first: that of the delivery, else that of its last failed attempt. A delivery
 * that succeeded has none, whatever its attempts were.
 */
export function whyNot(d: DeliveryDetail): Explanation | undefined {
  if (d.status === "success") {
    return undefined;
  }
  return d.explanation ?? d.attempt_log.findLast((a) => a.explanation)?.explanation;
}
