import { type InputHTMLAttributes, type ReactNode, useId } from "react";

import { Wrong } from "./feedback";

interface FieldProps {
  label: ReactNode;
  hint?: ReactNode;
  wrong?: string | undefined;
}

/** A labelled input with a hint and what is wrong with it. */
export function Field({ label, hint, wrong, ...input }: FieldProps & InputHTMLAttributes<HTMLInputElement>) {
  const id = useId();
  const described = [hint ? `${id}-hint` : "", wrong ? `${id}-wrong` : ""].filter(Boolean).join(" ");
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input type="text" {...input} id={id} aria-invalid={wrong !== undefined} aria-describedby={described || undefined} />
      <Wrong id={`${id}-wrong`}>{wrong}</Wrong>
      {hint && (
        <span className="hint" id={`${id}-hint`}>
          {hint}
        </span>
      )}
    </div>
  );
}

export function Check({ label, hint, wrong, checked, onChange, disabled }: FieldProps & { checked: boolean; onChange: (on: boolean) => void; disabled?: boolean }) {
  const id = useId();
  return (
    <div className="check">
      <input id={id} type="checkbox" checked={checked} disabled={disabled} onChange={(e) => onChange(e.target.checked)} aria-describedby={hint ? `${id}-hint` : undefined} />
      <div className="grow">
        <label htmlFor={id}>{label}</label>
        {hint && (
          <div className="muted small" id={`${id}-hint`}>
            {hint}
          </div>
        )}
        <Wrong>{wrong}</Wrong>
      </div>
    </div>
  );
}

export function Choice<T extends string>({ label, value, options, onChange, hint, wrong }: FieldProps & { value: T; options: readonly (readonly [T, string])[]; onChange: (value: T) => void }) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select id={id} value={value} onChange={(e) => onChange(e.target.value as T)} aria-invalid={wrong !== undefined}>
        {options.map(([v, word]) => (
          <option key={v} value={v}>
            {word}
          </option>
        ))}
      </select>
      <Wrong>{wrong}</Wrong>
      {hint && <span className="hint">{hint}</span>}
    </div>
  );
}
