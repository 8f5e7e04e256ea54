import { useSyncExternalStore } from "react";

const units: [string, number][] = [
  ["y", 31_557_600],
  ["mo", 2_629_800],
  ["d", 86_400],
  ["h", 3_600],
  ["min", 60],
  ["s", 1],
];

/** A time as it is from now: "5 min ago", "in 2 h". Under 2 s it is "now". */
export function relative(time: Date, now: number): string {
  const seconds = Math.round((time.getTime() - now) / 1000);
  if (Number.isNaN(seconds)) return "?";
  if (Math.abs(seconds) < 2) return "now";
  for (const [unit, length] of units) {
    const n = Math.trunc(Math.abs(seconds) / length);
    if (n >= 1) return seconds < 0 ? `${n} ${unit} ago` : `in ${n} ${unit}`;
  }
  return "now";
}

const exactFormat = new Intl.DateTimeFormat("en-GB", {
  year: "numeric", month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, timeZoneName: "short",
});

/** A time to the millisecond, in the browser's zone, with UTC behind it. */
export function exact(time: Date): string {
  return Number.isNaN(time.getTime()) ? "?" : `${exactFormat.format(time)} · ${time.toISOString()}`;
}

const clockFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const dayFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** A time on the axis of a chart. */
export function tick(time: Date, step: "minute" | "hour" | "day", long: boolean): string {
  if (step === "day") return dayFormat.format(time);
  return long ? `${dayFormat.format(time)} ${clockFormat.format(time)}` : clockFormat.format(time);
}

/** Milliseconds with a fitting unit: "0.4 ms", "38 ms", "1.25 s", "2 min 5 s". */
export function duration(ms: number): string {
  if (ms < 10) return `${trim(ms.toFixed(1))} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${trim((ms / 1000).toFixed(2))} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return two(Math.floor(seconds / 60), "min", seconds % 60, "s");
  if (seconds < 86_400) return two(Math.floor(seconds / 3600), "h", Math.floor((seconds % 3600) / 60), "min");
  return two(Math.floor(seconds / 86_400), "d", Math.floor((seconds % 86_400) / 3600), "h");
}

function two(a: number, unit: string, b: number, smaller: string): string {
  return b === 0 ? `${a} ${unit}` : `${a} ${unit} ${b} ${smaller}`;
}

function trim(decimal: string): string {
  return decimal.includes(".") ? decimal.replace(/\.?0+$/, "") : decimal;
}

// One clock for all relative times of a page.
let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

function subscribe(l: () => void): () => void {
  listeners.add(l);
  timer ??= setInterval(() => {
    now = Date.now();
    for (const each of [...listeners]) each();
  }, 1000);
  return () => {
    listeners.delete(l);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** The present time, in steps of a second. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now);
}

/** A time of `datetime-local` as RFC 3339 in UTC; undefined if it is none. */
export function fromLocal(local: string): string | undefined {
  const t = new Date(local);
  return local === "" || Number.isNaN(t.getTime()) ? undefined : t.toISOString();
}

/** A time as a `datetime-local` shows it, to the minute. */
export function toLocal(time: string | undefined): string {
  if (time === undefined) return "";
  const t = new Date(time);
  if (Number.isNaN(t.getTime())) return "";
  return new Date(t.getTime() - t.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
