const plain = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** A count with separators: 12,345. */
export function count(n: number): string {
  return plain.format(n);
}

/** A count in few characters: 12.3K. */
export function short(n: number): string {
  return Math.abs(n) < 10_000 ? plain.format(n) : compact.format(n);
}

/** A share of all as a percentage; 100 % and 0 % only if it is exactly that. undefined of nothing. */
export function share(part: number, all: number): string | undefined {
  if (all <= 0) return undefined;
  const percent = (part / all) * 100;
  if (part === all || part === 0) return `${percent} %`;
  const shown = percent > 99 ? Math.min(percent, 99.99).toFixed(2) : percent < 1 ? Math.max(percent, 0.01).toFixed(2) : percent.toFixed(1);
  return `${shown} %`;
}

/** Bytes with a unit of 1,024. */
export function bytes(n: number): string {
  if (n < 1024) return `${n} B`;
  for (const unit of ["KiB", "MiB", "GiB"]) {
    n /= 1024;
    if (n < 1024) return `${n < 10 ? n.toFixed(1) : Math.round(n)} ${unit}`;
  }
  return `${Math.round(n / 1024)} TiB`;
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** A text of the API as a sentence: with a capital and a full stop. */
export function sentence(text: string): string {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
