// Search parameters are the state of a screen: plain text in the address, typed in the program.

/** Reads one parameter; undefined if the text is none of its values. */
export type Read<T> = (raw: string) => T | undefined;

/** Any text but the empty one. */
export const text: Read<string> = (raw) => (raw === "" ? undefined : raw);

/** One of some values. */
export function oneOf<const T extends string>(...values: T[]): Read<T> {
  return (raw) => values.find((v) => v === raw);
}

/** Some of the values, separated by commas. */
export function someOf<const T extends string>(...values: T[]): Read<T[]> {
  return (raw) => {
    const found = raw.split(",").flatMap((r) => values.find((v) => v === r) ?? []);
    return found.length ? found : undefined;
  };
}

/** Texts separated by commas. */
export const texts: Read<string[]> = (raw) => {
  const found = raw.split(",").filter((s) => s !== "");
  return found.length ? found : undefined;
};

/**
 * Makes the validateSearch of a route: what is not in the shape, or has a wrong value, is left out, so that an old or
 * mistyped address still shows a screen.
 */
export function searchOf<S extends Record<string, Read<unknown>>>(shape: S) {
  type Search = { [K in keyof S]?: S[K] extends Read<infer T> ? T : never };
  return (raw: Record<string, unknown>): Search => {
    const search: Record<string, unknown> = {};
    for (const [name, read] of Object.entries(shape)) {
      const given = raw[name];
      if (given === undefined || given === null) continue;
      const value = read(Array.isArray(given) ? given.join(",") : String(given));
      if (value !== undefined) search[name] = value;
    }
    return search as Search;
  };
}

/** Reads an address's search into parameters. */
export function parseSearch(search: string): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(search));
}

/** Writes parameters as an address's search: "" or "?…". Lists are separated by commas. */
export function stringifySearch(search: Record<string, unknown>): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(search)) {
    if (value === undefined || value === null || value === "") continue;
    params.set(name, Array.isArray(value) ? value.join(",") : String(value));
  }
  const text = params.toString().replaceAll("%2C", ",").replaceAll("%3A", ":").replaceAll("%2A", "*");
  return text === "" ? "" : `?${text}`;
}
