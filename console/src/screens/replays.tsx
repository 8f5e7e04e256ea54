import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";

import { pageSize } from "../api/queries";
import type { Replay } from "../api/schema";
import { useCan } from "../api/session";
import * as queries from "../deliveries/queries";
import { useScope } from "../lib/scope";
import { Empty, ErrorBox } from "../ui/feedback";
import { Filters, TextFilter } from "../ui/filters";
import { shortId, useWebhookNames } from "../ui/names";
import { Page, Pager } from "../ui/page";
import { ReplayState } from "../ui/state";
import { Table } from "../ui/table";
import { Count, Id, Time } from "../ui/text";
import { conditions } from "../replays/words";

export { NewReplay } from "../replays/new";

const route = getRouteApi("/replays");

/** What was sent again, and is being sent again. */
export function Replays() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const scope = useScope();
  const mayReplay = useCan("retry");
  const name = useWebhookNames(scope.list);
  const { webhook_id, cursor } = search;
  const list = useQuery(queries.replays(scope.list, { limit: pageSize, ...(webhook_id ? { webhook_id } : {}), ...(cursor ? { cursor } : {}) }));
  const rows = list.data?.replays;
  const create = mayReplay ? (
    <Link className="button primary" to="/replays/new">
      New replay
    </Link>
  ) : undefined;
  return (
    <Page title="Replays" actions={create}>
      <Filters clear={webhook_id ? () => void navigate({ search: {} }) : undefined}>
        <TextFilter label="Webhook's id" mono width={270} value={webhook_id} onChange={(id) => void navigate({ search: (prev) => ({ ...prev, webhook_id: id, cursor: undefined }) })} />
      </Filters>
      {list.error ? <ErrorBox error={list.error} retry={() => void list.refetch()} /> : null}
      {rows?.length === 0 && !list.error ? (
        <Empty title={webhook_id ? "No replays of this webhook" : "No replays yet"} action={webhook_id ? undefined : create}>
          <p>
            A replay sends past events again: what failed since a time, what a new webhook has missed, or deliveries that you choose one by one. It can be estimated
            first, paused and canceled.
          </p>
        </Empty>
      ) : list.error && rows === undefined ? null : (
        <Table<Replay>
          label="Replays"
          rows={rows}
          id={(r) => r.id}
          open={(r) => void navigate({ to: "/replays/$id", params: { id: r.id }, search: { of: r.tenant_id } })}
          columns={[
            { head: "State", cell: (r) => <ReplayState replay={r} /> },
            {
              head: "What",
              lead: true,
              cell: (r) => (
                <Link className="clip" to="/replays/$id" params={{ id: r.id }} search={{ of: r.tenant_id }} title={conditions(r)}>
                  {conditions(r)}
                </Link>
              ),
            },
            {
              head: "Webhooks",
              cell: (r) => (
                <span className="clip">
                  {r.webhook_id !== "" ? name(r.webhook_id) : r.webhook_ids ? (r.webhook_ids.length === 1 ? name(r.webhook_ids[0]!) : `${r.webhook_ids.length} webhooks`) : "all"}
                </span>
              ),
            },
            { head: "Replay", cell: (r) => <Id value={r.id} shown={shortId(r.id)} /> },
            scope.all && { head: "Tenant", cell: (r) => (r.tenant_id ? <Id value={r.tenant_id} shown={shortId(r.tenant_id)} /> : null) },
            { head: "Sent", num: true, cell: (r) => <Count value={r.created} /> },
            { head: "Begun", num: true, cell: (r) => <Time at={r.created_at} /> },
          ]}
        />
      )}
      <Pager cursor={cursor} next={list.data?.next_cursor} rows={rows?.length} limit={pageSize} />
    </Page>
  );
}
