import { useEffect, useRef } from "react";

/** What the keys do: the help that `?` shows. */
export const keyHelp: [string, string][] = [
  ["/", "search by any id or reference"],
  ["j / k", "next / previous row"],
  ["Enter", "open the row"],
  ["Esc", "close what is open beside the list"],
  ["r", "retry the delivery"],
  ["t", "test the webhook"],
  ["g h", "go to Home"],
  ["g w", "go to Webhooks"],
  ["g d", "go to Deliveries"],
  ["g e", "go to Events"],
  ["?", "this help"],
];

function typing(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(input|textarea|select)$/i.test(target.tagName) && !/^(checkbox|radio|button|submit)$/.test((target as HTMLInputElement).type));
}

/** Whether a dialog or a menu has the keyboard. */
function taken(): boolean {
  return document.querySelector("dialog[open], [role=menu]") !== null;
}

/**
 * Runs a function when a key is pressed, unless the user is typing or a dialog is open. Two characters in a row are
 * written with a blank: "g h".
 */
export function useKeys(keys: Record<string, ((e: KeyboardEvent) => void) | undefined>): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    let first = "";
    let at = 0;
    const pressed = (e: KeyboardEvent) => {
      if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey || typing(e.composedPath()[0] ?? e.target) || taken()) return;
      const two = first !== "" && Date.now() - at < 1200 ? `${first} ${e.key}` : undefined;
      const run = (two !== undefined ? latest.current[two] : undefined) ?? latest.current[e.key];
      first = e.key;
      at = Date.now();
      if (run) {
        first = "";
        e.preventDefault();
        run(e);
      }
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, []);
}
