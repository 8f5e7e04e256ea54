import { useSearch } from "@tanstack/react-router";

import { useOperator } from "../api/session";

/** For which tenants the requests of a screen act: values for `acting`. */
export interface Scope {
  /** Of lists: "*" for all tenants; undefined for the token's own. */
  list: string | undefined;
  /** Of single things, and of changes. */
  one: string | undefined;
  /** Whether lists are over all tenants, so that rows must say whose they are. */
  all: boolean;
}

/**
 * The scope in the address. `tenant` is what an operator looks at: one tenant, or all of them if it is absent. `of` is the
 * tenant of the thing that a screen shows, where it was opened from a list over all tenants.
 */
export function useScope(): Scope {
  const operator = useOperator();
  const { tenant, of } = useSearch({ strict: false }) as { tenant?: string; of?: string };
  return scopeOf(operator, tenant, of);
}

export function scopeOf(operator: boolean, tenant: string | undefined, of: string | undefined): Scope {
  if (!operator) return { list: undefined, one: undefined, all: false };
  const named = tenant === "*" ? undefined : tenant;
  return { list: named ?? "*", one: of ?? named, all: named === undefined };
}
