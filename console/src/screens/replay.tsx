import { useMutation, useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useState } from "react";

import { acting, api, unwrap } from "../api/client";
import type { Replay, ReplayedWebhook } from "../api/schema";
import { useCan } from "../api/session";
import { External } from "../deliveries/external";
import { NotShown } from "../deliveries/notshown";
import * as queries from "../deliveries/queries";
import { count } from "../lib/numbers";
import { useScope } from "../lib/scope";
import { progressOf } from "../replays/progress";
import { conditions, leftOutWords } from "../replays/words";
import { ConfirmDialog, Dialog } from "../ui/dialog";
import { ErrorBox, Progress, Skeleton, toastError, useDone } from "../ui/feedback";
import { Field } from "../ui/form";
import { useWebhookNames } from "../ui/names";
import { Card, Facts, Figure, Page } from "../ui/page";
import { ReplayState, State } from "../ui/state";
import { Table } from "../ui/table";
import { Count, ExactTime, Id, Time } from "../ui/text";
import { Whose } from "../ui/whose";

const route = getRouteApi("/replays/$id");

/** One replay, with its progress while it goes on. */
export function ReplayScreen() {
  const { id } = route.useParams();
  return (
    <Whose kind="replay" id={id}>
      <One id={id} />
    </Whose>
  );
}

function One({ id }: { id: string }) {
  const { one } = useScope();
  const found = useQuery(queries.replay(one, id));
  const r = found.data;
  return (
    <Page
      title="Replay"
      heading={<span className="row">Replay {r ? <ReplayState replay={r} /> : null}</span>}
      sub={r ? conditions(r) : undefined}
      crumb={<Link to="/replays">Replays</Link>}
      actions={r ? <Actions replay={r} tenant={one} /> : undefined}
    >
      {r ? <Shown replay={r} tenant={one} /> : found.error ? <NotShown error={found.error} retry={() => void found.refetch()} /> : <Skeleton lines={10} />}
    </Page>
  );
}

function Shown({ replay: r, tenant }: { replay: Replay; tenant: string | undefined }) {
  const scope = useScope();
  const of = scope.all ? tenant : undefined;
  const name = useWebhookNames(tenant);
  const p = progressOf(r);
  const made = p.succeeded + p.failed + p.canceled + p.outstanding;
  return (
    <>
      <div className="figures">
        <Figure label="Sent again" value={count(r.created)} note={`${count(r.scanned)} examined`} />
        <Figure label="Arrived" value={count(p.succeeded)} />
        <Figure label="Failed for good" value={count(p.failed)} />
        <Figure label="With an attempt to come" value={count(p.outstanding)} />
        {p.canceled > 0 ? <Figure label="Canceled" value={count(p.canceled)} /> : null}
      </div>
      <Card title="Progress">
        <div className="stack">
          <div className="stack tight">
            <p className="row apart">
              <span>Events looked through</span>
              <span className="muted">{Math.floor(100 * p.examined)} %</span>
            </p>
            <Progress label="Events looked through" all={100} parts={[{ n: Math.floor(100 * p.examined) }]} />
          </div>
          <div className="stack tight">
            <p className="row apart">
              <span>Deliveries that have ended</span>
              <span className="muted">
                {count(made - p.outstanding)} of {count(made)}
              </span>
            </p>
            <Progress label="Deliveries that have ended" all={Math.max(made, 1)} parts={[{ n: p.succeeded, tone: "ok" }, { n: p.failed, tone: "bad" }, { n: p.canceled }]} />
          </div>
          {r.reason ? <p className="box warn">{r.reason}</p> : null}
          {p.failed > 0 ? (
            <p>
              <Link to="/deliveries" search={{ of: undefined, undelivered: "true", since: r.created_at, ...(r.webhook_id !== "" ? { webhook_id: r.webhook_id } : {}) }}>
                Look at what failed
              </Link>
            </p>
          ) : null}
        </div>
      </Card>
      {r.webhooks?.length ? (
        <Table<ReplayedWebhook>
          label="Webhooks of the replay"
          keys={false}
          rows={r.webhooks}
          id={(w) => w.webhook_id}
          columns={[
            {
              head: "Webhook",
              lead: true,
              cell: (w) => (
                <Link className="clip" to="/webhooks/$id" params={{ id: w.webhook_id }} search={{ of }}>
                  {name(w.webhook_id)}
                </Link>
              ),
            },
            {
              head: "Note",
              cell: (w) =>
                w.left_out ? <span className="wrap small">{leftOutWords(w.left_out)}</span> : w.behind ? <State tone="warn" title="It takes its deliveries slower than the others, and does not delay them">Behind</State> : null,
            },
            { head: "Arrived", num: true, cell: (w) => <Count value={w.succeeded} /> },
            { head: "Failed", num: true, cell: (w) => <Count value={w.failed} /> },
            { head: "Canceled", num: true, cell: (w) => <Count value={w.canceled} /> },
            { head: "To come", num: true, cell: (w) => <Count value={w.outstanding} /> },
          ]}
        />
      ) : null}
      {r.webhooks_omitted ? <p className="muted small">It has more webhooks than are shown.</p> : null}
      <Card title="Conditions">
        <Facts
          facts={[
            ["Replay", <Id key="i" value={r.id} />],
            ["Sends", conditions(r)],
            [
              "Webhooks",
              r.webhook_id !== "" ? (
                <Link key="w" to="/webhooks/$id" params={{ id: r.webhook_id }} search={{ of }}>
                  {name(r.webhook_id)}
                </Link>
              ) : r.all_webhooks ? (
                "all of the account when it was begun"
              ) : r.webhook_ids ? (
                count(r.webhook_ids.length)
              ) : undefined,
            ],
            r.delivery_ids ? undefined : ["Events since", <ExactTime key="s" at={r.since} />],
            r.delivery_ids ? undefined : ["Events until", <ExactTime key="u" at={r.until} />],
            ["Rate", `at most ${count(r.rate)} deliveries per second`],
            ["Begun", <ExactTime key="b" at={r.created_at} />],
            r.ended_at ? ["Ended", <ExactTime key="e" at={r.ended_at} />] : ["Last step", <Time key="l" at={r.updated_at} />],
            ["Workflow", r.workflow_url ? <External key="f" href={r.workflow_url} text={r.workflow_id} /> : <code key="f">{r.workflow_id}</code>],
          ]}
        />
      </Card>
    </>
  );
}

function Actions({ replay: r, tenant }: { replay: Replay; tenant: string | undefined }) {
  const may = useCan("retry");
  const done = useDone();
  const [canceling, setCanceling] = useState(false);
  const [rating, setRating] = useState(false);
  const params = { path: { id: r.id } };
  const turn = useMutation({
    mutationFn: () =>
      r.state === "paused" ? unwrap(api.POST("/v1/replays/{id}/resume", { ...acting(tenant), params })) : unwrap(api.POST("/v1/replays/{id}/pause", { ...acting(tenant), params })),
    onSuccess: () => done(),
    onError: toastError,
  });
  if (!may || (r.state !== "running" && r.state !== "paused")) {
    return null;
  }
  return (
    <>
      <button type="button" className="button" disabled={turn.isPending} onClick={() => turn.mutate()}>
        {r.state === "paused" ? "Resume" : "Pause"}
      </button>
      <button type="button" className="button" onClick={() => setRating(true)}>
        Change the rate
      </button>
      <button type="button" className="button danger" onClick={() => setCanceling(true)}>
        Cancel the replay
      </button>
      <ConfirmDialog
        title="Cancel the replay"
        open={canceling}
        onClose={() => setCanceling(false)}
        verb="Cancel the replay"
        danger
        run={() => unwrap(api.POST("/v1/replays/{id}/cancel", { ...acting(tenant), params })).then(() => done("Canceled"))}
      >
        <p>It makes no more deliveries, and those with an attempt to come end as canceled. What has arrived stays. It can't be resumed.</p>
      </ConfirmDialog>
      <Rate open={rating} close={() => setRating(false)} replay={r} tenant={tenant} />
    </>
  );
}

function Rate({ open, close, replay: r, tenant }: { open: boolean; close: () => void; replay: Replay; tenant: string | undefined }) {
  const done = useDone();
  const [rate, setRate] = useState(String(r.rate));
  const change = useMutation({
    mutationFn: () => unwrap(api.PATCH("/v1/replays/{id}", { ...acting(tenant), params: { path: { id: r.id } }, body: { rate: Number(rate) } })),
    onSuccess: () => {
      done("The rate is changed");
      close();
    },
  });
  return (
    <Dialog title="Change the rate" open={open} onClose={close}>
      <form
        className="stack"
        onSubmit={(e) => {
          e.preventDefault();
          change.mutate();
        }}
      >
        <Field label="Deliveries per second at most" type="number" min={1} max={1000} required value={rate} onChange={(e) => setRate(e.target.value)} hint="In force within seconds." />
        <ErrorBox error={change.error} />
        <div className="row">
          <button type="submit" className="button primary" disabled={change.isPending}>
            Change
          </button>
        </div>
      </form>
    </Dialog>
  );
}
