/** A length of time up to now, as charts show it. */
export type Range = "1h" | "24h" | "7d" | "30d";

export const ranges: readonly (readonly [Range, string])[] = [["1h", "1 h"], ["24h", "24 h"], ["7d", "7 d"], ["30d", "30 d"]];

const lengths: Record<Range, { ms: number; step: "minute" | "hour" | "day"; words: string }> = {
  "1h": { ms: 3_600_000, step: "minute", words: "the last hour" },
  "24h": { ms: 86_400_000, step: "hour", words: "the last 24 hours" },
  "7d": { ms: 7 * 86_400_000, step: "day", words: "the last 7 days" },
  "30d": { ms: 30 * 86_400_000, step: "day", words: "the last 30 days" },
};

/** The query of a range that ends now. */
export function rangeQuery(range: Range, now = Date.now()): { from: string; to: string; step: "minute" | "hour" | "day" } {
  const { ms, step } = lengths[range];
  return { from: new Date(now - ms).toISOString(), to: new Date(now).toISOString(), step };
}

export function rangeWords(range: Range): string {
  return lengths[range].words;
}

/** The beginning of a range to the minute, for a link to a list. */
export function rangeSince(range: Range, now = Date.now()): string {
  return new Date(Math.floor((now - lengths[range].ms) / 60_000) * 60_000).toISOString();
}
