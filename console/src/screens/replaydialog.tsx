import { useMutation } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useId, useState } from "react";

import { acting, api, ApiError, unwrap } from "../api/client";
import type { ReplayEstimate, ReplayStatus, Webhook } from "../api/schema";
import { plural } from "../lib/numbers";
import { useScope } from "../lib/scope";
import { fromLocal, toLocal } from "../lib/time";
import { Dialog } from "../ui/dialog";
import { ErrorBox, Wrong } from "../ui/feedback";
import { Choice, Field } from "../ui/form";

interface Props {
  webhook: Webhook;
  tenant: string | undefined;
  /** The time of the first event; default: an hour ago. */
  since?: string;
  status?: ReplayStatus;
  onClose: () => void;
}

/** Sends events to one webhook again, from a time on. It says how many before it begins. */
export function ReplayDialog({ webhook: w, tenant, since, status = "failed", onClose }: Props) {
  const navigate = useNavigate();
  const scope = useScope();
  const ids = useId();
  // A row's own time is to the microsecond; a field of the browser is to the minute. The exact one holds until it is changed.
  const [exactSince, setExactSince] = useState(since ?? new Date(Date.now() - 3_600_000).toISOString());
  const [until, setUntil] = useState("");
  const [which, setWhich] = useState<ReplayStatus>(status);
  const [rate, setRate] = useState("");
  const body = {
    since: exactSince,
    ...(fromLocal(until) && { until: fromLocal(until) }),
    status: which,
    ...(rate.trim() !== "" && { rate: Number(rate) }),
  };
  const post = (dry: boolean) => unwrap(api.POST("/v1/webhooks/{id}/replay", { ...acting(tenant), params: { path: { id: w.id } }, body: { ...body, dry_run: dry } }));
  const estimate = useMutation({ mutationFn: () => post(true) as Promise<ReplayEstimate> });
  const start = useMutation({
    mutationFn: () => post(false),
    onSuccess: (replay) => {
      onClose();
      if ("id" in replay) void navigate({ to: "/replays/$id", params: { id: replay.id }, search: { of: scope.all ? tenant : undefined } });
    },
  });
  const key = JSON.stringify(body);
  const { mutate } = estimate;
  useEffect(() => {
    const timer = setTimeout(() => mutate(), 300);
    return () => clearTimeout(timer);
  }, [key, mutate]);
  const error = start.error ?? estimate.error;
  const at = (location: string) => (error instanceof ApiError ? error.at(location) : undefined);
  const known = ["body.since", "body.until", "body.rate", "body.status"];
  return (
    <Dialog
      title="Replay events"
      open
      onClose={onClose}
      foot={
        <>
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="button" className="button primary" disabled={start.isPending || estimate.data?.events === 0} onClick={() => start.mutate()}>
            {start.isPending ? "Beginning …" : estimate.data ? `Replay ${plural(estimate.data.events, "event")}${estimate.data.complete ? "" : " or more"}` : "Replay"}
          </button>
        </>
      }
    >
      <p>
        To <span className="mono wrap">{w.url}</span>
      </p>
      <Choice
        label="Which events"
        value={which}
        onChange={setWhich}
        wrong={at("body.status")}
        options={[["failed", "that failed, and have not succeeded since"], ["missing", "that never had a delivery to it"], ["all", "all that match its subscriptions"]]}
      />
      <div className="fieldrow">
        <div className="field">
          <label htmlFor={`${ids}-since`}>Published since</label>
          <input id={`${ids}-since`} type="datetime-local" value={toLocal(exactSince)} onChange={(e) => setExactSince(fromLocal(e.target.value) ?? exactSince)} aria-invalid={at("body.since") !== undefined} />
          <Wrong>{at("body.since")}</Wrong>
        </div>
        <div className="field">
          <label htmlFor={`${ids}-until`}>Until (default: now)</label>
          <input id={`${ids}-until`} type="datetime-local" value={until} onChange={(e) => setUntil(e.target.value)} aria-invalid={at("body.until") !== undefined} />
          <Wrong>{at("body.until")}</Wrong>
        </div>
      </div>
      <Field label="Deliveries per second, at most" type="number" min={1} max={1000} placeholder="100" value={rate} onChange={(e) => setRate(e.target.value)} wrong={at("body.rate")} />
      <p role="status" className="muted">
        {estimate.isPending
          ? "Counting …"
          : estimate.data
            ? estimate.data.events === 0
              ? "No event would be sent."
              : `${plural(estimate.data.events, "event")}${estimate.data.complete ? "" : " at least"} would be sent.`
            : ""}
      </p>
      <ErrorBox error={error} known={known} />
    </Dialog>
  );
}
