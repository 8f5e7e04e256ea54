import type { LeftOutReason, Replay, ReplayStatus } from "../api/schema";
import { errorWords } from "../deliveries/words";
import { plural } from "../lib/numbers";

/** What each choice sends, with the line below it in the form. */
export const choices: [ReplayStatus, string, string][] = [
  ["failed", "What failed", "Events that had deliveries to a webhook and no successful one."],
  ["missing", "What is missing", "Events that match a webhook's subscriptions and never had a delivery to it."],
  ["all", "Everything", "All events that match, also those that arrived. Receivers get them a second time."],
];

/** conditions says in one line what a replay sends. */
export function conditions(r: Pick<Replay, "status" | "delivery_ids" | "event_types" | "reference" | "error_class" | "status_class">): string {
  if (r.delivery_ids) {
    return plural(r.delivery_ids.length, "chosen delivery", "chosen deliveries");
  }
  const words = [choices.find(([s]) => s === r.status)?.[1] ?? r.status];
  if (r.event_types?.length) {
    words.push(`of ${r.event_types.join(", ")}`);
  }
  if (r.reference) {
    words.push(`with reference ${r.reference}`);
  }
  if (r.status_class) {
    words.push(`with HTTP ${r.status_class}`);
  }
  if (r.error_class) {
    words.push(`after ${errorWords(r.error_class)}`);
  }
  return words.join(" ");
}

const leftOut: Record<LeftOutReason, string> = {
  deleted: "Left out: it is deleted.",
  inactive: "Left out: it is disabled.",
  at_most_once: "Left out: a Momento message is never sent twice. What is missing can be replayed.",
};

export function leftOutWords(r: LeftOutReason): string {
  return leftOut[r] ?? `Left out: ${r}`;
}
