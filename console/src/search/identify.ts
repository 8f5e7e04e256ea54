/** What the search box was given. */
export type Sought =
  | { kind: "delivery" | "event" | "webhook" | "replay" | "tenant" | "key" | "session" | "entry"; id: string }
  | { kind: "reference"; reference: string };

const prefixes = {
  del: "delivery",
  evt: "event",
  hook: "webhook",
  rpl: "replay",
  ten: "tenant",
  key: "key",
  ps: "session",
  aud: "entry",
} as const;

// 26 characters of Crockford's base32, whose first is 0 to 7.
const id = /^(del|evt|hook|rpl|ten|key|ps|aud)_[0-7][0-9a-hjkmnp-tv-z]{25}$/;

/**
 * identify says what a text that was typed or pasted names. Ids are recognised by their prefix, in any case and with white
 * space, quotes or a trailing comma around them, as they come out of logs and JSON; the id of a drain's or a deletion's
 * workflow (hook_…-drain) names its webhook or tenant. Everything else is a reference. Empty text is undefined.
 */
export function identify(text: string): Sought | undefined {
  const cleaned = text.trim().replace(/^["'`]+|["'`,;]+$/g, "").trim();
  if (cleaned === "") {
    return undefined;
  }
  const candidate = cleaned.toLowerCase().replace(/-(drain|delete)$/, "");
  const found = id.exec(candidate);
  if (found) {
    return { kind: prefixes[found[1] as keyof typeof prefixes], id: candidate };
  }
  return { kind: "reference", reference: cleaned };
}
