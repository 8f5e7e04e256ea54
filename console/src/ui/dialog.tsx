import { type ReactNode, useEffect, useId, useRef, useState } from "react";

import { ErrorBox } from "./feedback";
import { Icon } from "./icons";

interface DialogProps {
  title: string;
  open: boolean;
  onClose: () => void;
  children: ReactNode;
  /** Buttons below. */
  foot?: ReactNode;
  wide?: boolean;
  /** false: only the program closes it. */
  closable?: boolean;
}

/**
 * A modal dialog: the browser's own, which keeps the focus inside, makes the rest inert and closes on Escape without any
 * style or script that the policy would refuse.
 */
export function Dialog({ title, open, onClose, children, foot, wide, closable = true }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const d = ref.current;
    if (!d) return;
    if (open && !d.open) d.showModal();
    if (!open && d.open) d.close();
  }, [open]);
  if (!open) return null;
  return (
    <dialog
      ref={ref}
      className={`dialog ${wide ? "wide" : ""}`}
      aria-labelledby={heading}
      onCancel={(e) => {
        e.preventDefault();
        if (closable) onClose();
      }}
      onClick={(e) => {
        // A click on the backdrop is one on the dialog itself.
        if (closable && e.target === ref.current) onClose();
      }}
      // A browser closes a dialog that refused to be cancelled when Escape is pressed twice.
      onClose={() => (closable ? onClose() : ref.current?.showModal())}
    >
      <div className="dialog-head">
        <h2 id={heading}>{title}</h2>
        {closable && (
          <button type="button" className="button plain icon small" onClick={onClose} aria-label="Close">
            <Icon name="close" size={14} />
          </button>
        )}
      </div>
      <div className="dialog-body">{children}</div>
      {foot && <div className="dialog-foot">{foot}</div>}
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  open: boolean;
  onClose: () => void;
  /** What the button says: a verb. */
  verb: string;
  danger?: boolean;
  /** Does it; an error is shown in the dialog. */
  run: () => Promise<unknown>;
  /** A text that must be typed first. */
  typed?: string;
  children: ReactNode;
}

/** Asks before something is done that can't be undone, or that others notice. */
export function ConfirmDialog({ title, open, onClose, verb, danger, run, typed, children }: ConfirmProps) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const [text, setText] = useState("");
  const id = useId();
  useEffect(() => {
    if (open) {
      setError(undefined);
      setText("");
    }
  }, [open]);
  return (
    <Dialog
      title={title}
      open={open}
      onClose={onClose}
      foot={
        <>
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button
            type="button"
            className={`button primary ${danger ? "danger" : ""}`}
            disabled={busy || (typed !== undefined && text !== typed)}
            onClick={() => {
              setBusy(true);
              run()
                .then(onClose, setError)
                .finally(() => setBusy(false));
            }}
          >
            {busy ? "One moment …" : verb}
          </button>
        </>
      }
    >
      {children}
      {typed !== undefined && (
        <div className="field">
          <label htmlFor={id}>
            Type <code>{typed}</code> to go on
          </label>
          <input id={id} type="text" autoComplete="off" spellCheck={false} value={text} onChange={(e) => setText(e.target.value)} />
        </div>
      )}
      <ErrorBox error={error} />
    </Dialog>
  );
}
