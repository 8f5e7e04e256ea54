import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";

import * as queries from "../accounts/queries";
import { pageSize } from "../api/queries";
import type { AuditChange, AuditEntry } from "../api/schema";
import { useCan } from "../api/session";
import { placeOf } from "../lib/lookup";
import { useScope } from "../lib/scope";
import { Empty, ErrorBox } from "../ui/feedback";
import { Filters, TextFilter, TimeRange } from "../ui/filters";
import { Json } from "../ui/json";
import { shortId } from "../ui/names";
import { Facts, Page, Pager, Split } from "../ui/page";
import { Table } from "../ui/table";
import { ExactTime, Id, Time } from "../ui/text";

const route = getRouteApi("/audit-log");

const kinds: Record<string, string> = { api_key: "API key", cli: "command on the server", anonymous: "anonymous", portal_session: "portal session" };

/** Who has changed what, and when. */
export function AuditLog() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const scope = useScope();
  const may = useCan("keys");
  const { tenant: _, of: _of, sel, cursor, ...filters } = search;
  const list = useQuery({ ...queries.auditLog(scope.list, { ...filters, limit: pageSize, ...(cursor ? { cursor } : {}) }), enabled: may });
  const rows = list.data?.entries;
  const filtered = Object.values(filters).some((v) => v !== undefined);
  const filter = (change: Partial<typeof search>) => void navigate({ search: (prev) => ({ ...prev, cursor: undefined, sel: undefined, ...change }) });
  const open = rows?.find((e) => e.id === sel);
  if (!may) {
    return (
      <Page title="Audit log">
        <Empty title="Not for this token">
          <p>Only an admin key of the account sees its audit log.</p>
        </Empty>
      </Page>
    );
  }
  return (
    <Page title="Audit log">
      <Filters clear={filtered ? () => void navigate({ search: {} }) : undefined}>
        <TextFilter label="Action or webhook.*" value={search.action} onChange={(action) => filter({ action })} />
        <TextFilter label="Actor's id" mono value={search.actor} onChange={(actor) => filter({ actor })} />
        <TextFilter label="Target's id or name" mono value={search.target} onChange={(target) => filter({ target })} />
        <TimeRange since={search.since} until={search.until} onChange={filter} />
      </Filters>
      {list.error ? <ErrorBox error={list.error} retry={() => void list.refetch()} /> : null}
      <Split close={() => void navigate({ search: (prev) => ({ ...prev, sel: undefined }), resetScroll: false })} title={<h2>{open?.action ?? "Entry"}</h2>} details={sel !== undefined && open ? <Entry entry={open} /> : undefined}>
        {rows?.length === 0 && !list.error ? (
          <Empty title={list.data?.next_cursor ? "Nothing found yet" : filtered ? "No entries match" : "No entries yet"}>
            <p>{list.data?.next_cursor ? "This part of the search found nothing. It goes on on the next page." : "Every change through the API leaves an entry. Publishing is no change."}</p>
          </Empty>
        ) : list.error && rows === undefined ? null : (
          <Table<AuditEntry>
            label="Audit log"
            rows={rows}
            id={(e) => e.id}
            current={sel}
            open={(e) => void navigate({ search: (prev) => ({ ...prev, sel: e.id }), resetScroll: false })}
            columns={[
              {
                head: "Action",
                lead: true,
                cell: (e) => (
                  <Link to="." search={(prev) => ({ ...prev, sel: e.id })} resetScroll={false} className="clip">
                    {e.action}
                  </Link>
                ),
              },
              {
                head: "What",
                cell: (e) => (
                  <span className="clip" title={e.target.name ?? e.target.id}>
                    {e.target.name ?? (e.target.id ? shortId(e.target.id) : e.target.type)}
                  </span>
                ),
              },
              { head: "Changed", cell: (e) => <span className="clip" title={e.changes.map((c) => c.member).join(", ")}>{e.changes.map((c) => c.member).join(", ")}</span> },
              { head: "By", cell: (e) => <span className="clip" title={e.actor.id}>{e.actor.name || e.actor.id || kinds[e.actor.type]}</span> },
              scope.all && { head: "Tenant", cell: (e) => <Id value={e.tenant_id} shown={shortId(e.tenant_id)} /> },
              { head: "When", num: true, cell: (e) => <Time at={e.created_at} /> },
            ]}
          />
        )}
        <Pager cursor={cursor} next={list.data?.next_cursor} rows={rows?.length} limit={pageSize} />
      </Split>
    </Page>
  );
}

function Entry({ entry: e }: { entry: AuditEntry }) {
  const of = useScope().all ? e.tenant_id : undefined;
  const place = e.target.id ? placeOf(e.target.id) : undefined;
  return (
    <>
      <Facts
        facts={[
          ["Entry", <Id key="i" value={e.id} />],
          ["When", <ExactTime key="t" at={e.created_at} />],
          [
            "By",
            <span key="b" className="row tight">
              {e.actor.name || kinds[e.actor.type] || e.actor.type}
              {e.actor.id ? <Id value={e.actor.id} /> : null}
              <span className="muted">{kinds[e.actor.type] ?? e.actor.type}</span>
            </span>,
          ],
          e.source_address ? ["From", <code key="a">{e.source_address}</code>] : undefined,
          [
            "Target",
            <span key="g" className="row tight">
              {e.target.type.replaceAll("_", " ")}
              {place && place.to !== "/deliveries" ? (
                <Link to={place.to} params={{ id: place.id }} search={{ of }}>
                  {e.target.name ?? place.id}
                </Link>
              ) : (
                <span className="wrap">{e.target.name}</span>
              )}
              {e.target.id ? <Id value={e.target.id} /> : null}
            </span>,
          ],
          ["Tenant", <Id key="n" value={e.tenant_id} />],
        ]}
      />
      {e.changes.length === 0 ? <p className="muted">No member was changed.</p> : null}
      {e.changes.map((c) => (
        <Change key={c.member} change={c} />
      ))}
    </>
  );
}

function Change({ change: c }: { change: AuditChange }) {
  return (
    <section className="stack tight">
      <h3>
        <code>{c.member}</code>
      </h3>
      {c.secret ? (
        <p className="muted">Changed. The log never has secret values.</p>
      ) : (
        <div className="grid narrow">
          <div className="stack tight">
            <p className="muted small">Before</p>
            {c.before === undefined ? <p className="muted">nothing</p> : <Json value={c.before} label={`${c.member} before`} copy={false} />}
          </div>
          <div className="stack tight">
            <p className="muted small">After</p>
            {c.after === undefined ? <p className="muted">nothing</p> : <Json value={c.after} label={`${c.member} after`} copy={false} />}
          </div>
        </div>
      )}
    </section>
  );
}
