import { useId } from "react";

import { Dialog } from "../ui/dialog";
import { CopyButton } from "../ui/text";

/** Shows a key or link that the API shows only once. */
export function ShownOnce({ title, label, value, close, children }: { title: string; label: string; value: string; close: () => void; children?: React.ReactNode }) {
  const id = useId();
  return (
    // A stray click must not lose what can't be shown again.
    <Dialog title={title} open onClose={close} closable={false} wide foot={<button type="button" className="button primary" onClick={close}>Done</button>}>
      <p className="box warn">Copy it now: it is not shown again.</p>
      <div className="field">
        <label htmlFor={id}>{label}</label>
        <input id={id} type="text" className="mono" readOnly value={value} onFocus={(e) => e.target.select()} />
      </div>
      <div className="row">
        <CopyButton text={value} label={`Copy the ${label.toLowerCase()}`} small={false} />
      </div>
      {children}
    </Dialog>
  );
}
