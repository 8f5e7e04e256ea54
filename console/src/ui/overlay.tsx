// Menus and popovers: Radix's, not modal, as the modal ones would put a style element into the page, which the
// policy refuses.
import * as DropdownMenu from "@radix-ui/react-dropdown-menu";
import * as RadixPopover from "@radix-ui/react-popover";
import type { ReactNode } from "react";

export interface Action {
  label: string;
  run: () => void;
  danger?: boolean;
  disabled?: boolean;
  /** The key that does the same. */
  keys?: string;
}

/** A button that opens a list of actions. Gaps are lines. */
export function Menu({ trigger, actions, label }: { trigger: ReactNode; actions: (Action | null | false | undefined)[]; label?: string }) {
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger asChild>{trigger}</DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content className="menu" align="end" sideOffset={4} collisionPadding={8} aria-label={label}>
          {actions.map((a, i) =>
            a === null ? (
              <DropdownMenu.Separator key={i} className="menu-line" />
            ) : a ? (
              <DropdownMenu.Item key={a.label} className={`menu-item ${a.danger ? "danger" : ""}`} disabled={a.disabled} onSelect={a.run}>
                <span className="grow">{a.label}</span>
                {a.keys && <kbd>{a.keys}</kbd>}
              </DropdownMenu.Item>
            ) : null,
          )}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}

/** A button that opens a small area. */
export function Popover({ trigger, children, label, open, onOpenChange }: { trigger: ReactNode; children: ReactNode; label: string; open?: boolean; onOpenChange?: (open: boolean) => void }) {
  return (
    <RadixPopover.Root modal={false} open={open} onOpenChange={onOpenChange}>
      <RadixPopover.Trigger asChild>{trigger}</RadixPopover.Trigger>
      <RadixPopover.Portal>
        <RadixPopover.Content className="popover" align="start" sideOffset={4} collisionPadding={8} aria-label={label}>
          {children}
        </RadixPopover.Content>
      </RadixPopover.Portal>
    </RadixPopover.Root>
  );
}
