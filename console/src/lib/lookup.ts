/** Where the thing that a text names is shown. */
export type Place =
  | { to: "/deliveries/$id" | "/events/$id" | "/webhooks/$id" | "/replays/$id" | "/tenants/$id"; id: string }
  | { to: "/deliveries"; reference: string };

const byPrefix = {
  del_: "/deliveries/$id",
  evt_: "/events/$id",
  hook_: "/webhooks/$id",
  rpl_: "/replays/$id",
  ten_: "/tenants/$id",
} as const;

/**
 * Recognizes an id by its prefix; any other text is a reference, by which deliveries are found. A text may be in the form in
 * which logs and JSON have it: in quotes, before a comma, in capitals. The id of a drain's or a deletion's workflow
 * (hook_…-drain, ten_…-delete) names its webhook or tenant.
 */
export function placeOf(typed: string): Place | undefined {
  const t = typed.trim().replace(/^["'`]+|["'`,;]+$/g, "").trim();
  if (t === "") return undefined;
  const id = t.toLowerCase().replace(/-(drain|delete)$/, "");
  // 26 characters of Crockford's base32 follow the prefix.
  if (/^[a-z]+_[0-7][0-9a-hjkmnp-tv-z]{25}$/.test(id)) {
    for (const [prefix, to] of Object.entries(byPrefix)) {
      if (id.startsWith(prefix)) return { to: to as (typeof byPrefix)[keyof typeof byPrefix], id };
    }
  }
  return { to: "/deliveries", reference: t };
}
