import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useState } from "react";

import * as queries from "../api/queries";
import type { Delivery } from "../api/schema";
import { useCan } from "../api/session";
import { DeliveryDetails } from "../deliveries/details";
import { deliveryStatuses, errorClasses } from "../deliveries/words";
import { useScope } from "../lib/scope";
import { Empty, ErrorBox } from "../ui/feedback";
import { Filters, Presets, SelectFilter, TextFilter, TimeRange } from "../ui/filters";
import { shortId, useWebhookNames } from "../ui/names";
import { Page, Pager, Split } from "../ui/page";
import { DeliveryState, waitWords } from "../ui/state";
import { type Column, Table } from "../ui/table";
import { Id, Time } from "../ui/text";
import { Whose } from "../ui/whose";

const route = getRouteApi("/deliveries");

type Preset = "all" | "failed" | "coming" | "delivered" | "other";
const presets = [
  ["all", "All"],
  ["failed", "Failed for good"],
  ["coming", "Retrying or held"],
  ["delivered", "Delivered"],
] as const;

/** The deliveries of all webhooks, with every filter of the API in the address, and the details beside them. */
export function Deliveries() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const scope = useScope();
  const mayRetry = useCan("retry");
  const name = useWebhookNames(scope.list);
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const { tenant: _, of: owner, sel, cursor, ...filters } = search;
  const list = useQuery(queries.deliveries(scope.list, { ...filters, limit: queries.pageSize, ...(cursor ? { cursor } : {}) }));
  const rows = list.data?.deliveries;
  // Another filter begins on the first page, and what was open may not be in it.
  const filter = (change: Partial<typeof search>) => void navigate({ search: (prev) => ({ ...prev, cursor: undefined, sel: undefined, of: undefined, ...change }) });
  const open = (d: Delivery) => void navigate({ search: (prev) => ({ ...prev, sel: d.id, of: d.tenant_id }), resetScroll: false });
  const close = () => void navigate({ search: (prev) => ({ ...prev, sel: undefined, of: undefined }), resetScroll: false });
  const filtered = Object.values(filters).some((v) => v !== undefined);
  const narrow = sel !== undefined;
  const picked = chosen.filter((id) => rows?.some((d) => d.id === id));
  const owners = new Set(rows?.filter((d) => picked.includes(d.id)).map((d) => d.tenant_id));

  const columns: (Column<Delivery> | false)[] = [
    mayRetry &&
      !narrow && {
        head: "Choose",
        cell: (d) => (
          <input
            type="checkbox"
            aria-label={`Choose ${d.event_type} ${shortId(d.id)}`}
            checked={picked.includes(d.id)}
            onChange={(e) => setChosen(e.target.checked ? [...picked, d.id] : picked.filter((id) => id !== d.id))}
          />
        ),
      },
    { head: "State", cell: (d) => <DeliveryState delivery={d} /> },
    {
      head: "Event type",
      lead: true,
      cell: (d) => (
        <span className="row tight fixed">
          <Link to="/deliveries/$id" params={{ id: d.id }} search={{ of: d.tenant_id }} className="clip" title={d.event_type}>
            {d.event_type}
          </Link>
          {d.test ? <span className="tag">test</span> : null}
          {d.replay_id ? <span className="tag">replay</span> : null}
        </span>
      ),
    },
    { head: "Webhook", cell: (d) => <span className="clip" title={name(d.webhook_id)}>{name(d.webhook_id)}</span> },
    scope.all && !narrow && { head: "Tenant", cell: (d) => (d.tenant_id ? <Id value={d.tenant_id} shown={shortId(d.tenant_id)} /> : null) },
    { head: "Status", num: true, cell: (d) => d.status_code ?? "" },
    !narrow && { head: "Attempts", num: true, cell: (d) => d.attempts },
    !narrow && { head: "Last error", cell: (d) => (d.error ? <span className="clip" title={d.error}>{d.error}</span> : null) },
    !narrow && {
      head: "Next",
      cell: (d) =>
        d.waiting ? (
          <span className="muted clip" title={waitWords[d.waiting.reason]}>
            {waitWords[d.waiting.reason] ?? d.waiting.reason}
          </span>
        ) : d.next_attempt_at ? (
          <Time at={d.next_attempt_at} />
        ) : null,
    },
    { head: "Published", num: true, cell: (d) => <Time at={d.created_at} /> },
  ];

  return (
    <Page
      title="Deliveries"
      actions={
        mayRetry && picked.length > 0 ? (
          owners.size > 1 ? (
            <span className="muted">Choose deliveries of one tenant to replay them.</span>
          ) : (
            <Link className="button primary" to="/replays/new" search={{ delivery_ids: [...picked], of: [...owners][0] }}>
              Replay {picked.length} chosen
            </Link>
          )
        ) : undefined
      }
    >
      <div className="row">
        <Presets
          label="Which"
          value={presetOf(search)}
          options={presets}
          onChange={(p) =>
            filter({
              status: p === "delivered" ? ["success"] : undefined,
              undelivered: p === "failed" ? "true" : undefined,
              final: p === "coming" ? "false" : undefined,
            })
          }
        />
      </div>
      <Filters clear={filtered ? () => void navigate({ search: {} }) : undefined}>
        <TextFilter label="Reference" value={search.reference} onChange={(reference) => filter({ reference })} />
        <TextFilter label="Event type or user.*" value={search.event_type} onChange={(event_type) => filter({ event_type })} />
        <TextFilter label="Webhook's id" mono value={search.webhook_id} onChange={(webhook_id) => filter({ webhook_id })} />
        <SelectFilter
          label="State"
          any="any"
          value={search.status?.length === 1 ? search.status[0] : undefined}
          options={deliveryStatuses}
          onChange={(s) => filter({ status: s ? [s] : undefined })}
        />
        <SelectFilter
          label="HTTP"
          any="any"
          value={search.status_class}
          options={[["2xx", "2xx"], ["3xx", "3xx"], ["4xx", "4xx"], ["5xx", "5xx"]]}
          onChange={(status_class) => filter({ status_class })}
        />
        <SelectFilter label="Error" any="any" value={search.error_class} options={errorClasses} onChange={(error_class) => filter({ error_class })} />
        <TimeRange since={search.since} until={search.until} onChange={filter} />
      </Filters>
      {list.error ? <ErrorBox error={list.error} retry={() => void list.refetch()} /> : null}
      <Split
        close={close}
        title={<h2>Delivery</h2>}
        actions={
          sel ? (
            <Link className="button small" to="/deliveries/$id" params={{ id: sel }} search={{ of: owner }}>
              Open
            </Link>
          ) : undefined
        }
        details={sel ? <Whose key={sel} kind="delivery" id={sel}><DeliveryDetails id={sel} tenant={scope.one} compact /></Whose> : undefined}
      >
        {rows?.length === 0 && !list.error ? (
          <None filtered={filtered} reference={search.reference} more={Boolean(list.data?.next_cursor)} />
        ) : list.error && rows === undefined ? null : (
          <Table label="Deliveries" columns={columns} rows={rows} id={(d) => d.id} open={open} current={sel} />
        )}
        <Pager cursor={cursor} next={list.data?.next_cursor} rows={rows?.length} limit={queries.pageSize} />
      </Split>
    </Page>
  );
}

function presetOf(search: { status?: string[]; undelivered?: string; final?: string }): Preset {
  const { status, undelivered, final } = search;
  if (status === undefined && undelivered === undefined && final === undefined) {
    return "all";
  }
  if (undelivered === "true" && status === undefined && final === undefined) {
    return "failed";
  }
  if (final === "false" && status === undefined && undelivered === undefined) {
    return "coming";
  }
  return status?.length === 1 && status[0] === "success" && undelivered === undefined && final === undefined ? "delivered" : "other";
}

function None({ filtered, reference, more }: { filtered: boolean; reference: string | undefined; more: boolean }) {
  if (more) {
    return (
      <Empty title="Nothing found yet">
        <p>This part of the search found nothing. It goes on on the next page.</p>
      </Empty>
    );
  }
  if (filtered) {
    return (
      <Empty title="No deliveries match">
        {reference ? (
          <p>
            An event may have that reference without a delivery, if no webhook was subscribed to it.{" "}
            <Link to="/events" search={{ reference }}>
              Look for events with the reference {reference}
            </Link>
            .
          </p>
        ) : (
          <p>Take a filter away, or look at a longer time.</p>
        )}
      </Empty>
    );
  }
  return (
    <Empty title="No deliveries yet">
      <p>
        A delivery is one event for one webhook. There is one here as soon as an event is published that a webhook is subscribed to:{" "}
        <Link to="/webhooks">add a webhook</Link>, then <Link to="/events">publish an event</Link>.
      </p>
    </Empty>
  );
}
