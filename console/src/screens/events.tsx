import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";

import { pageSize } from "../api/queries";
import type { Event } from "../api/schema";
import { useSession } from "../api/session";
import { origin } from "../api/transport";
import { publishExample } from "../deliveries/curl";
import { EventDetails } from "../deliveries/event";
import * as queries from "../deliveries/queries";
import { useScope } from "../lib/scope";
import { Empty, ErrorBox } from "../ui/feedback";
import { Filters, TextFilter, TimeRange } from "../ui/filters";
import { shortId } from "../ui/names";
import { Page, Pager, Split } from "../ui/page";
import { State } from "../ui/state";
import { Table } from "../ui/table";
import { Code, Id, Time } from "../ui/text";
import { Whose } from "../ui/whose";

const route = getRouteApi("/events");

/** What was published, newest first, with the details beside it. */
export function Events() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const scope = useScope();
  const { tenant: _, of: owner, sel, cursor, ...filters } = search;
  const list = useQuery(queries.events(scope.list, { ...filters, limit: pageSize, ...(cursor ? { cursor } : {}) }));
  const rows = list.data?.events;
  const filtered = Object.values(filters).some((v) => v !== undefined);
  const filter = (change: Partial<typeof search>) => void navigate({ search: (prev) => ({ ...prev, cursor: undefined, sel: undefined, of: undefined, ...change }) });
  return (
    <Page title="Events">
      <Filters clear={filtered ? () => void navigate({ search: {} }) : undefined}>
        <TextFilter label="Reference" value={search.reference} onChange={(reference) => filter({ reference })} />
        <TextFilter label="Type or user.*" value={search.type} onChange={(type) => filter({ type })} />
        <TimeRange since={search.since} until={search.until} onChange={filter} />
      </Filters>
      {list.error ? <ErrorBox error={list.error} retry={() => void list.refetch()} /> : null}
      <Split
        close={() => void navigate({ search: (prev) => ({ ...prev, sel: undefined, of: undefined }), resetScroll: false })}
        title={<h2>Event</h2>}
        actions={
          sel ? (
            <Link className="button small" to="/events/$id" params={{ id: sel }} search={{ of: owner }}>
              Open
            </Link>
          ) : undefined
        }
        details={sel ? <Whose key={sel} kind="event" id={sel}><EventDetails id={sel} tenant={scope.one} compact /></Whose> : undefined}
      >
        {rows?.length === 0 && !list.error ? (
          <None filtered={filtered} more={Boolean(list.data?.next_cursor)} />
        ) : list.error && rows === undefined ? null : (
          <Table<Event>
            label="Events"
            rows={rows}
            id={(e) => e.id}
            current={sel}
            open={(e) => void navigate({ search: (prev) => ({ ...prev, sel: e.id, of: e.tenant_id }), resetScroll: false })}
            columns={[
              {
                head: "Type",
                lead: true,
                cell: (e) => (
                  <Link className="clip" to="/events/$id" params={{ id: e.id }} search={{ of: e.tenant_id }} title={e.type}>
                    {e.type}
                  </Link>
                ),
              },
              { head: "Event", cell: (e) => <Id value={e.id} shown={shortId(e.id)} /> },
              scope.all && { head: "Tenant", cell: (e) => (e.tenant_id ? <Id value={e.tenant_id} shown={shortId(e.tenant_id)} /> : null) },
              {
                head: "References",
                cell: (e) =>
                  e.references?.length ? (
                    <span className="row tight">
                      {e.references.slice(0, 3).map((r) => (
                        <span key={r} className="tag mono">
                          {r}
                        </span>
                      ))}
                      {e.references.length > 3 ? <span className="muted small">and {e.references.length - 3} more</span> : null}
                    </span>
                  ) : null,
              },
              {
                head: "Webhooks",
                num: true,
                cell: (e) => (e.delivery_count === 0 ? <State tone="off">none matched</State> : e.delivery_count),
              },
              { head: "Published", num: true, cell: (e) => <Time at={e.created_at} /> },
            ]}
          />
        )}
        <Pager cursor={cursor} next={list.data?.next_cursor} rows={rows?.length} limit={pageSize} />
      </Split>
    </Page>
  );
}

function None({ filtered, more }: { filtered: boolean; more: boolean }) {
  const portal = useSession().kind === "portal";
  if (more) {
    return (
      <Empty title="Nothing found yet">
        <p>This part of the search found nothing. It goes on on the next page.</p>
      </Empty>
    );
  }
  if (filtered) {
    return (
      <Empty title="No events match">
        <p>Take a filter away, or look at a longer time. Test events are only in the list of deliveries.</p>
      </Empty>
    );
  }
  if (portal) {
    return (
      <Empty title="No events yet">
        <p>Events come from the application that brought you here. A webhook's test sends a sample at once.</p>
      </Empty>
    );
  }
  return (
    <Empty title="No events yet">
      <p>An event is something that has happened in your system. Publish the first one with a key that has the scope publish:</p>
      <Code text={publishExample(origin)} label="command" />
    </Empty>
  );
}
