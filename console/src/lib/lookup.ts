/** Where the thing that a text names is shown. */
export type Place =
  | { to: "/deliveries/$id" | "/events/$id" | "/webhooks/$id" | "/replays/$id"; id: string }
  | { to: "/tenants/$id"; id: string }
  | { to: "/deliveries"; reference: string };

const byPrefix = {
  del_: "/deliveries/$id",
  evt_: "/events/$id",
  hook_: "/webhooks/$id",
  rpl_: "/replays/$id",
} as const;

/** Recognizes an id by its prefix; any other text is a reference, by which deliveries are found. */
export function placeOf(typed: string): Place | undefined {
  const t = typed.trim();
  if (t === "") return undefined;
  for (const [prefix, to] of Object.entries(byPrefix)) {
    if (t.startsWith(prefix) && /^[a-z]+_[0-9a-z]+$/.test(t)) return { to: to as (typeof byPrefix)[keyof typeof byPrefix], id: t };
  }
  if (/^ten_[0-9a-z]+$/.test(t)) return { to: "/tenants/$id", id: t };
  return { to: "/deliveries", reference: t };
}
