import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useEffect, useState } from "react";

import { acting, api, unwrap } from "../api/client";
import * as queries from "../api/queries";
import type { DeliveryDetail, WebhookProfile } from "../api/schema";
import { useCan, useSession } from "../api/session";
import { useKeys } from "../lib/keys";
import { renew } from "../lib/live";
import { useScope } from "../lib/scope";
import { WebhookName } from "../ui/names";
import { ErrorBox, Skeleton, toast, toastError } from "../ui/feedback";
import { JsonOrText } from "../ui/json";
import { Card, Facts } from "../ui/page";
import { DeliveryState } from "../ui/state";
import { ExactTime, Id, Time } from "../ui/text";
import { AttemptPanel } from "./attempt";
import { type Body, requestBody } from "./body";
import "./deliveries.css";
import { DiagnoseButton } from "./diagnose";
import { External } from "./external";
import { NotShown } from "./notshown";
import { hasEnded, lifecycle, type Step, whyNot } from "./lifecycle";
import { event as eventQuery } from "./queries";

/** useRetry sends a delivery now. Its answer is the delivery after the attempt, which may take as long as the time-out. */
export function useRetry(id: string, tenant: string | undefined) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => unwrap(api.POST("/v1/deliveries/{id}/retry", { ...acting(tenant), params: { path: { id } } })),
    onSuccess: (d) => {
      client.setQueryData(["delivery", tenant, id], d);
      renew(client);
      const last = d.attempt_log.at(-1);
      toast(d.status === "success" ? "Delivered" : `Failed again: ${last?.error?.message ?? d.error ?? "no success"}`, d.status === "success" ? undefined : "bad");
    },
    onError: toastError,
  });
}

/**
 * DeliveryDetails shows a delivery from its publish to its end: why it is not delivered, its attempts, and what can be
 * done. In the place beside a list, compact leaves the choice of attempts to the line.
 */
export function DeliveryDetails({ id, tenant, compact = false }: { id: string; tenant: string | undefined; compact?: boolean }) {
  const found = useQuery(queries.delivery(tenant, id));
  if (found.data === undefined) {
    return found.error ? <NotShown error={found.error} retry={() => void found.refetch()} /> : <Skeleton lines={12} />;
  }
  return <Shown delivery={found.data} tenant={tenant} compact={compact} />;
}

function Shown({ delivery: d, tenant, compact }: { delivery: DeliveryDetail; tenant: string | undefined; compact: boolean }) {
  // Only its data, type and references are used here, which never change.
  const event = useQuery({ ...eventQuery(tenant, d.event_id), meta: undefined, staleTime: 60_000 });
  // A link to another thing of the tenant says whose it is, where the list is over all of them.
  const of = useScope().all ? tenant : undefined;
  // The newest attempt is shown until another one is chosen, also when one is added.
  const [chosen, setChosen] = useState<number>();
  useEffect(() => setChosen(undefined), [d.id]);
  const attempt = d.attempt_log.find((a) => a.number === chosen) ?? d.attempt_log.at(-1);
  const why = whyNot(d);
  const body: Body | undefined = event.data && attempt ? requestBody(event.data, profileOf(attempt.request.headers)) : undefined;
  const facts = (
    <Facts
      facts={[
        ["State", <DeliveryState key="s" delivery={d} />],
        ["Event", <EventLink key="e" delivery={d} of={of} />],
        [
          "Webhook",
          <Link key="w" to="/webhooks/$id" params={{ id: d.webhook_id }} search={{ of }}>
            <WebhookName id={d.webhook_id} tenant={tenant} />
          </Link>,
        ],
        ["Delivery", <Id key="i" value={d.id} />],
        event.data?.references?.length
          ? [
              "References",
              <span key="r" className="row tight">
                {event.data.references.map((r) => (
                  <Link key={r} className="tag mono" to="/deliveries" search={{ reference: r }}>
                    {r}
                  </Link>
                ))}
              </span>,
            ]
          : undefined,
        d.replay_id
          ? [
              "Replay",
              <Link key="p" className="mono" to="/replays/$id" params={{ id: d.replay_id }} search={{ of }}>
                {d.replay_id}
              </Link>,
            ]
          : undefined,
        ["Published", <ExactTime key="t" at={d.created_at} />],
        d.workflow_url ? ["Workflow", <External key="u" href={d.workflow_url} text={d.workflow_id ?? "in Temporal"} />] : undefined,
        !d.workflow_url && event.data?.workflow_url
          ? ["Workflow", <External key="v" href={event.data.workflow_url} text={event.data.workflow_id ?? "in Temporal"} />]
          : undefined,
      ]}
    />
  );
  const life = (
    <Card title="Life of the delivery">
      <ol className="lifecycle">
        {lifecycle(d).map((s, i) => (
          <Line key={i} step={s} chosen={s.attempt !== undefined && s.attempt === attempt} choose={setChosen} />
        ))}
      </ol>
    </Card>
  );
  const sent = attempt ? (
    <Card>
      <AttemptPanel attempt={attempt} body={body} />
    </Card>
  ) : (
    <Card title="What is to be sent">
      {event.data ? <JsonOrText text={JSON.stringify(event.data.data)} label="Data of the event" /> : event.error ? <ErrorBox error={event.error} /> : <Skeleton />}
    </Card>
  );
  return (
    <>
      {why ? (
        <section className={`box ${hasEnded(d) ? "bad" : "warn"}`} aria-label="Why it is not delivered">
          <h2>Why it is not delivered</h2>
          <p>{why.summary}</p>
          <p>
            <span className="strong">Next step:</span> {why.next_step}
          </p>
        </section>
      ) : null}
      <Actions delivery={d} tenant={tenant} />
      {compact ? (
        <>
          {facts}
          {life}
          {sent}
        </>
      ) : (
        <div className="delivery">
          <div className="stack">
            <Card title="Delivery">{facts}</Card>
            {life}
          </div>
          {sent}
        </div>
      )}
    </>
  );
}

function EventLink({ delivery: d, of }: { delivery: DeliveryDetail; of: string | undefined }) {
  return (
    <span className="row tight">
      <Link to="/events/$id" params={{ id: d.event_id }} search={{ of }}>
        {d.event_type}
      </Link>
      <Id value={d.event_id} />
      {d.test ? <span className="tag">test</span> : null}
    </span>
  );
}

/** Actions are those of a delivery: what the token may not do is not shown. */
function Actions({ delivery: d, tenant }: { delivery: DeliveryDetail; tenant: string | undefined }) {
  const mayRetry = useCan("retry");
  // A comparison shows no secret, so a portal session needs only to see; a key needs the scope that shows secrets (A5).
  const portal = useSession().kind === "portal";
  const mayDiagnose = useCan("secrets") || portal;
  const of = useScope().all ? tenant : undefined;
  const retry = useRetry(d.id, tenant);
  const again = () => {
    if (!retry.isPending) {
      retry.mutate();
    }
  };
  useKeys(mayRetry ? { r: again } : {});
  if (!mayRetry && !mayDiagnose) {
    return null;
  }
  return (
    <div className="row">
      {mayRetry ? (
        <button type="button" className="button primary" onClick={again} disabled={retry.isPending}>
          {retry.isPending ? "Sending …" : "Retry now"} <kbd>r</kbd>
        </button>
      ) : null}
      {mayRetry && !d.test ? (
        <Link
          className="button"
          to="/replays/new"
          search={{ of, webhook_id: d.webhook_id, since: d.created_at, status: "failed" }}
        >
          Replay from here
        </Link>
      ) : null}
      {mayDiagnose ? <DiagnoseButton delivery={d} tenant={tenant} /> : null}
    </div>
  );
}

/** Only the header of a signature says which form a past request had, as the webhook may be gone. */
function profileOf(headers: Record<string, string[]>): WebhookProfile {
  const names = new Set(Object.keys(headers).map((n) => n.toLowerCase()));
  return names.has("momento-signature") ? "momento" : names.has("commenda-x-secret") ? "commenda" : "standard";
}

const shapes: Record<Step["tone"], React.ReactNode> = {
  good: <path d="m4.5 10.5 3.5 3.5 7.5-8" fill="none" stroke="currentColor" strokeWidth={2.4} />,
  bad: <path d="m5.5 5.5 9 9M14.5 5.5l-9 9" fill="none" stroke="currentColor" strokeWidth={2.4} />,
  wait: <path d="M6 5h3v10H6zM11 5h3v10h-3z" fill="currentColor" />,
  plain: <circle cx={10} cy={10} r={4} fill="currentColor" />,
};

function Line({ step, chosen, choose }: { step: Step; chosen: boolean; choose: (n: number) => void }) {
  const { attempt } = step;
  return (
    <li>
      <span className={`dot ${step.tone}`}>
        <svg width={20} height={20} viewBox="0 0 20 20" aria-hidden="true" focusable="false">
          {shapes[step.tone]}
        </svg>
      </span>
      <div>
        {attempt ? (
          <button type="button" aria-pressed={chosen} onClick={() => choose(attempt.number)}>
            {step.title}
          </button>
        ) : (
          <span>{step.title}</span>
        )}
        {step.detail ? <div className="muted small">{step.detail}</div> : null}
      </div>
      <span className="muted small">{step.at ? <Time at={step.at} /> : null}</span>
    </li>
  );
}
