import type { FoundThing } from "../api/schema";

/** The tenant of the thing of a kind among what an id names; undefined if there is none. */
export function ownerIn(items: readonly FoundThing[] | undefined, kind: FoundThing["kind"]): string | undefined {
  return items?.find((item) => item.kind === kind)?.tenant_id;
}
