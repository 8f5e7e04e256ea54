import type { PortalTheme as Theme } from "../api/schema";

const place = "grapnel.theme";

export type Mode = "light" | "dark" | "system";

/** The mode that the user chose in this browser; system if none. */
export function chosenMode(): Mode {
  try {
    const m = localStorage.getItem(place);
    return m === "light" || m === "dark" ? m : "system";
  } catch {
    return "system";
  }
}

let current: Mode = "system";
let accent: string | undefined;

/** Shows the page in a mode and remembers it for this browser. */
export function chooseMode(mode: Mode): void {
  try {
    if (mode === "system") localStorage.removeItem(place);
    else localStorage.setItem(place, mode);
  } catch {
    // It then lasts as long as the page.
  }
  current = mode;
  paint();
}

/** Applies a session's theme; what the user chose comes first. */
export function applyTheme(theme: Theme | undefined): void {
  const own = chosenMode();
  current = own === "system" ? (theme?.mode ?? "system") : own;
  accent = theme?.accent;
  paint();
}

const dark = () => matchMedia("(prefers-color-scheme: dark)");

/** Follows the system's mode while none is chosen. */
export function startTheme(): void {
  applyTheme(undefined);
  dark().addEventListener("change", paint);
}

function paint(): void {
  const root = document.documentElement;
  const isDark = current === "dark" || (current === "system" && dark().matches);
  root.dataset.theme = isDark ? "dark" : "light";
  const set = (name: string, value: string | undefined) => (value === undefined ? root.style.removeProperty(name) : root.style.setProperty(name, value));
  const colour = accent === undefined ? undefined : parse(accent);
  if (colour === undefined) {
    for (const name of ["--accent", "--accent-text", "--on-accent", "--accent-soft"]) set(name, undefined);
    return;
  }
  const surface: RGB = isDark ? [0x17, 0x1b, 0x21] : [0xff, 0xff, 0xff];
  set("--accent", hex(colour));
  set("--on-accent", contrast(colour, [255, 255, 255]) >= 4.5 ? "#ffffff" : "#000000");
  const soft = mix(colour, surface, isDark ? 0.8 : 0.9);
  set("--accent-soft", hex(soft));
  set("--accent-text", hex(readable(colour, soft, isDark)));
}

export type RGB = [number, number, number];

export function parse(text: string): RGB | undefined {
  const m = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(text);
  return m ? [parseInt(m[1]!, 16), parseInt(m[2]!, 16), parseInt(m[3]!, 16)] : undefined;
}

export function hex(c: RGB): string {
  return `#${c.map((v) => Math.round(v).toString(16).padStart(2, "0")).join("")}`;
}

export function mix(a: RGB, b: RGB, share: number): RGB {
  return [0, 1, 2].map((i) => a[i]! * (1 - share) + b[i]! * share) as RGB;
}

function luminance(c: RGB): number {
  const [r, g, b] = c.map((v) => {
    const s = v / 255;
    return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
  }) as RGB;
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** The contrast of two colours as WCAG defines it, 1 to 21. */
export function contrast(a: RGB, b: RGB): number {
  const [x, y] = [luminance(a), luminance(b)];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}

/** The colour nearest to c that can be read on a ground (4.5:1): darker on a light ground, lighter on a dark one. */
export function readable(c: RGB, ground: RGB, light: boolean): RGB {
  const towards: RGB = light ? [255, 255, 255] : [0, 0, 0];
  for (let share = 0; share <= 1; share += 0.05) {
    const tried = mix(c, towards, share);
    if (contrast(tried, ground) >= 4.5) return tried;
  }
  return towards;
}
