import type { ReactNode } from "react";

const paths: Record<string, ReactNode> = {
  home: <path d="M2.5 7.5 8 3l5.5 4.5V13a.5.5 0 0 1-.5.5H9.5v-4h-3v4H3a.5.5 0 0 1-.5-.5z" />,
  webhooks: <path d="M8 2.2a1.6 1.6 0 0 1 .7 3V11a3 3 0 0 0 2.7-2.6l-1 .3 1.7-2.6 1.5 2.8-.9-.2A4.6 4.6 0 0 1 8 13a4.6 4.6 0 0 1-4.7-4.3l-.9.2 1.5-2.8 1.7 2.6-1-.3A3 3 0 0 0 7.3 11V5.2a1.6 1.6 0 0 1 .7-3z" />,
  deliveries: <path d="M2 8h9M8 4.5 11.5 8 8 11.5M13.5 3.5v9" />,
  events: <path d="M9 1.8 3.5 9H8l-1 5.2L12.5 7H8z" />,
  types: <path d="M2.5 4h11M2.5 8h11M2.5 12h7" />,
  replays: <path d="M3 8a5 5 0 1 0 1.6-3.7M3 2.5v2.7h2.7" />,
  tenants: <path d="M2.5 13.5v-9l5-2v11M7.5 6h6v7.5M1.5 13.5h13M4.5 6.5h1M4.5 9.5h1M10 8.5h1M10 11h1" />,
  keys: <path d="M10.5 9.5a3.5 3.5 0 1 1 2-6.4 3.5 3.5 0 0 1-2 6.4zM7.8 8 2.5 13.3M4.5 11.5l1.5 1.5" />,
  audit: <path d="M4 2.5h6l2.5 2.5v8.5h-8.5zM6 7h4.5M6 9.5h4.5" />,
  portal: <path d="M2.5 3.5h11v9h-11zM2.5 6h11M5 9h3" />,
  copy: <path d="M5.5 5.5h7v8h-7zM3.5 10.5v-8h7" />,
  menu: <path d="M2.5 4h11M2.5 8h11M2.5 12h11" />,
  more: <path d="M3.5 8h.01M8 8h.01M12.5 8h.01" strokeWidth={2.4} strokeLinecap="round" />,
  close: <path d="m4 4 8 8M12 4l-8 8" />,
  down: <path d="m4 6 4 4 4-4" />,
  right: <path d="m6 4 4 4-4 4" />,
  plus: <path d="M8 3v10M3 8h10" />,
  external: <path d="M6.5 3.5h-3v9h9v-3M9 3h4v4M13 3 7.5 8.5" />,
  eye: <path d="M1.8 8S4 3.8 8 3.8 14.2 8 14.2 8 12 12.2 8 12.2 1.8 8 1.8 8zM8 9.8a1.8 1.8 0 1 0 0-3.6 1.8 1.8 0 0 0 0 3.6z" />,
};

export type IconName = keyof typeof paths & string;

/** A drawing of 16 by 16 in the colour of the text. It says nothing by itself: put words beside it. */
export function Icon({ name, size = 16 }: { name: string; size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth={1.4} strokeLinejoin="round" strokeLinecap="round" aria-hidden="true" focusable="false">
      {paths[name]}
    </svg>
  );
}

export function Logo({ size = 20 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="7" fill="var(--accent)" />
      <path d="M16 5a3 3 0 0 1 1.4 5.7V22a5.6 5.6 0 0 0 4.8-4.6l-2 .5 3.6-5.2 3 5.6-1.7-.5A8.6 8.6 0 0 1 16 26a8.6 8.6 0 0 1-9.1-8.2l-1.7.5 3-5.6 3.6 5.2-2-.5a5.6 5.6 0 0 0 4.8 4.6V10.7A3 3 0 0 1 16 5z" fill="var(--on-accent)" />
    </svg>
  );
}
