import { keepPreviousData, queryOptions, useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useState } from "react";

import { acting, api, unwrap } from "../api/client";
import { pageSize } from "../api/queries";
import type { Delivery, Webhook } from "../api/schema";
import { useCan } from "../api/session";
import { DeliveryDetails } from "../deliveries/details";
import { deliveryStatuses } from "../deliveries/words";
import { live } from "../lib/live";
import { useScope } from "../lib/scope";
import { Empty, ErrorBox } from "../ui/feedback";
import { Filters, Presets, SelectFilter, TextFilter, TimeRange } from "../ui/filters";
import { Icon } from "../ui/icons";
import { Menu } from "../ui/overlay";
import { Pager, Split } from "../ui/page";
import { DeliveryState } from "../ui/state";
import { Table } from "../ui/table";
import { Time } from "../ui/text";
import { ReplayDialog } from "./replaydialog";

const route = getRouteApi("/webhooks/$id");

interface Filter {
  status: Delivery["status"][] | undefined;
  event_type: string | undefined;
  since: string | undefined;
  until: string | undefined;
  cursor: string | undefined;
}

const listed = (tenant: string | undefined, id: string, filter: Filter) =>
  queryOptions({
    queryKey: ["webhook-deliveries", tenant, id, filter],
    queryFn: ({ signal }) =>
      unwrap(api.GET("/v1/deliveries", { ...acting(tenant), params: { query: { webhook_id: id, limit: pageSize, ...filter } }, signal })),
    placeholderData: keepPreviousData,
    meta: live,
  });

const failures: Delivery["status"][] = ["failed", "timed_out", "dropped"];

/** What a webhook got, newest first, and the way to send it again from a row on. */
export function WebhookDeliveries({ webhook: w }: { webhook: Webhook }) {
  const { status, event_type, since, until, cursor, sel } = route.useSearch();
  const navigate = route.useNavigate();
  const scope = useScope();
  const retry = useCan("retry");
  const [from, setFrom] = useState<{ since: string; status: "failed" | "all" }>();
  const found = useQuery(listed(scope.one, w.id, { status, event_type, since, until, cursor }));
  const rows = found.data?.deliveries;
  const set = (change: Partial<Filter>) => void navigate({ search: (s) => ({ ...s, cursor: undefined, sel: undefined, ...change }) });
  const filtered = Boolean(status ?? event_type ?? since ?? until);
  const preset = status === undefined ? "all" : status.length === 3 && failures.every((f) => status.includes(f)) ? "failed" : status.length === 1 && status[0] === "success" ? "success" : undefined;
  const here = rows?.find((d) => d.id === sel);
  const row = (d: Delivery) => [
    { label: "Replay what failed since here …", run: () => setFrom({ since: d.created_at, status: "failed" }) },
    { label: "Replay everything since here …", run: () => setFrom({ since: d.created_at, status: "all" }) },
  ];
  return (
    <>
      <Filters clear={filtered ? () => set({ status: undefined, event_type: undefined, since: undefined, until: undefined }) : undefined}>
        <Presets
          label="Outcome"
          value={preset}
          options={[["all", "All"], ["failed", "Failed"], ["success", "Delivered"]]}
          onChange={(p) => set({ status: p === "all" ? undefined : p === "failed" ? failures : ["success"] })}
        />
        <SelectFilter label="Status" any="any" value={status?.length === 1 ? status[0] : undefined} options={deliveryStatuses} onChange={(v) => set({ status: v && [v] })} />
        <TextFilter label="Event type or prefix.*" mono value={event_type} onChange={(v) => set({ event_type: v })} suggestions={w.events} />
        <TimeRange since={since} until={until} onChange={set} />
      </Filters>
      <ErrorBox error={found.error} retry={() => void found.refetch()} />
      {rows?.length === 0 && !cursor && !found.data?.next_cursor ? (
        filtered ? (
          <Empty title="No delivery matches">
            <p>Other deliveries of this webhook may: clear the filters to see them.</p>
          </Empty>
        ) : (
          <Empty title="Nothing was delivered yet">
            <p>Each event of the types that this webhook subscribes to appears here as soon as it is published. A test shows at once what a request looks like.</p>
            <Link to="." search={(s) => ({ tenant: s.tenant, of: s.of, tab: "test" as const })} className="button">
              Send a test
            </Link>
          </Empty>
        )
      ) : (
        !(found.error && !rows) && (
          <Split
            close={() => void navigate({ search: (s) => ({ ...s, sel: undefined }) })}
            title={
              sel && (
                <Link to="/deliveries/$id" params={{ id: sel }} search={{ of: scope.one }} className="strong mono wrap">
                  {here?.event_type ?? sel}
                </Link>
              )
            }
            actions={
              here && here.replay_id === undefined && retry && (
                <button type="button" className="button small" onClick={() => setFrom({ since: here.created_at, status: "failed" })}>
                  Replay from here
                </button>
              )
            }
            details={sel && <DeliveryDetails id={sel} tenant={scope.one} compact />}
          >
            <Table<Delivery>
              label="Deliveries"
              rows={rows}
              id={(d) => d.id}
              current={sel}
              open={(d) => void navigate({ search: (s) => ({ ...s, sel: d.id }), replace: sel !== undefined })}
              columns={[
                { head: "Event type", lead: true, cell: (d) => <Link to="/deliveries/$id" params={{ id: d.id }} search={{ of: scope.one }} className="mono clip">{d.event_type}</Link> },
                !sel && { head: "Kind", cell: (d: Delivery) => (d.test ? <span className="tag">test</span> : d.replay_id ? <span className="tag">replay</span> : "") },
                { head: "State", cell: (d) => <DeliveryState delivery={d} /> },
                { head: "Answer", num: true, cell: (d) => d.status_code ?? (d.error ? <span className="muted" title={d.error}>none</span> : "–") },
                { head: "Attempts", num: true, cell: (d) => d.attempts },
                !sel && { head: "Next", num: true, cell: (d: Delivery) => (d.next_attempt_at ? <Time at={d.next_attempt_at} /> : d.waiting ? "waits" : "") },
                { head: "Published", num: true, cell: (d) => <Time at={d.created_at} /> },
                retry && !sel && {
                  head: "Actions",
                  num: true,
                  // A replay looks for events by their time, which a delivery made by a replay does not have.
                  cell: (d: Delivery) => d.replay_id === undefined && (
                    <Menu
                      label="Replay from here"
                      trigger={
                        <button type="button" className="button plain icon small" aria-label={`Replay from ${d.event_type} on`}>
                          <Icon name="more" />
                        </button>
                      }
                      actions={row(d)}
                    />
                  ),
                },
              ]}
            />
            <Pager cursor={cursor} next={found.data?.next_cursor} rows={rows?.length} limit={pageSize} />
          </Split>
        )
      )}
      {from && <ReplayDialog webhook={w} tenant={scope.one} since={from.since} status={from.status} onClose={() => setFrom(undefined)} />}
    </>
  );
}
