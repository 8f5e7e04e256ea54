import type { Replay } from "../api/schema";

/** How far a replay is: both parts count from 0 to 1. */
export interface Progress {
  /** The part of the span of time that has been looked through; chosen deliveries count one by one. */
  examined: number;
  /** The part of the deliveries made that have ended. */
  ended: number;
  failed: number;
  canceled: number;
  succeeded: number;
  outstanding: number;
}

export function progressOf(r: Replay): Progress {
  const p = r.progress ?? { succeeded: 0, failed: 0, canceled: 0, outstanding: 0 };
  const made = p.succeeded + p.failed + p.canceled + p.outstanding;
  const done = r.state === "completed" || r.state === "canceled";
  return {
    examined: r.state === "completed" ? 1 : part(examinedTo(r)),
    ended: made === 0 ? (done ? 1 : 0) : part((made - p.outstanding) / made),
    ...p,
  };
}

function examinedTo(r: Replay): number {
  if (r.delivery_ids) {
    return r.scanned / r.delivery_ids.length;
  }
  const since = Date.parse(r.since);
  const until = Date.parse(r.until);
  return until > since ? (Date.parse(r.looked_to) - since) / (until - since) : 1;
}

function part(x: number): number {
  return Number.isFinite(x) ? Math.min(1, Math.max(0, x)) : 0;
}
