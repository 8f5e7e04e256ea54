import { useMutation } from "@tanstack/react-query";
import { useState } from "react";

import { acting, api, ApiError, unwrap } from "../api/client";
import type { Webhook } from "../api/schema";
import { Dialog } from "../ui/dialog";
import { ErrorBox, useDone } from "../ui/feedback";
import { Choice, Field } from "../ui/form";
import { ExactTime, Id } from "../ui/text";

const overlaps = [["0", "none: the new secret alone from now on"], ["3600", "an hour"], ["86400", "a day"], ["604800", "a week"]] as const;

/** Gives a webhook a new secret. Both sign for some time, so that the receiver need not change at the same moment. */
export function RotateDialog({ webhook: w, tenant, onClose }: { webhook: Webhook; tenant: string | undefined; onClose: () => void }) {
  const done = useDone();
  const [overlap, setOverlap] = useState<(typeof overlaps)[number][0]>("86400");
  const [secret, setSecret] = useState("");
  const rotate = useMutation({
    mutationFn: () =>
      unwrap(
        api.POST("/v1/webhooks/{id}/secret/rotate", {
          ...acting(tenant), params: { path: { id: w.id } },
          body: { overlap_seconds: Number(overlap), ...(secret !== "" && { secret }) },
        }),
      ),
    onSuccess: () => done(),
  });
  const made = rotate.data;
  const at = (location: string) => (rotate.error instanceof ApiError ? rotate.error.at(location) : undefined);
  if (made) {
    return (
      <Dialog title="The new secret" open onClose={onClose} foot={<button type="button" className="button primary" onClick={onClose}>Done</button>}>
        <p>Give it to the receiver.</p>
        <Id value={made.secret} />
        {made.overlap_until && <p>Until <ExactTime at={made.overlap_until} />, requests carry signatures of both secrets.</p>}
        {made.warnings?.map((n) => <p key={n.message} className="box warn">{n.message}</p>)}
      </Dialog>
    );
  }
  return (
    <Dialog
      title="Rotate the secret"
      open
      onClose={onClose}
      foot={
        <>
          <button type="button" className="button" onClick={onClose}>Cancel</button>
          <button type="button" className="button primary" disabled={rotate.isPending} onClick={() => rotate.mutate()}>
            {rotate.isPending ? "Rotating …" : "Rotate"}
          </button>
        </>
      }
    >
      <Choice
        label="Both secrets sign for"
        value={overlap}
        options={overlaps}
        onChange={setOverlap}
        wrong={at("body.overlap_seconds")}
        hint={w.profile === "standard" ? "The header webhook-signature carries both signatures. Headers with one signature carry the new one at once." : "This profile has one signature a request: it is the new one at once."}
      />
      <Field label="New secret" value={secret} onChange={(e) => setSecret(e.target.value)} wrong={at("body.secret")} autoComplete="off" spellCheck={false} className="mono" placeholder="generated" hint="8 to 256 characters. Leave it empty for a generated one." />
      <ErrorBox error={rotate.error} known={["body.overlap_seconds", "body.secret"]} />
    </Dialog>
  );
}
