// Event types and the patterns by which webhooks subscribe to them: a name, `prefix.*`, `*`.

/** Whether a subscription has a type. Patterns don't have operational types, which must be named. */
export function matches(pattern: string, type: string, operational = false): boolean {
  if (pattern === type) return true;
  if (operational) return false;
  if (pattern === "*") return true;
  return pattern.endsWith(".*") && type.startsWith(pattern.slice(0, -1));
}

/** The types of operational events, which no pattern has. */
export const operationalTypes: readonly string[] = ["webhook.disabled", "webhook.recovered", "delivery.failed"];

export interface Group<T> {
  /** What the members' names begin with, without the dot; the whole name of a type without a dot. */
  prefix: string;
  members: T[];
}

/** Groups types by the first part of their names, in the order of the names. */
export function grouped<T extends { name: string }>(types: readonly T[]): Group<T>[] {
  const groups = new Map<string, T[]>();
  for (const t of [...types].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))) {
    const dot = t.name.indexOf(".");
    const prefix = dot < 0 ? t.name : t.name.slice(0, dot);
    const members = groups.get(prefix);
    if (members) members.push(t);
    else groups.set(prefix, [t]);
  }
  return [...groups].map(([prefix, members]) => ({ prefix, members }));
}

/** Adds or removes one subscription and keeps the order of the others. */
export function toggled(events: readonly string[], event: string, on: boolean): string[] {
  const without = events.filter((e) => e !== event);
  return on ? [...without, event] : without;
}
