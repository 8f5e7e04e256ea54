import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";

import { eventTypes } from "../api/queries";
import type { EventType } from "../api/schema";
import { useCan, useSession } from "../api/session";
import { plural } from "../lib/numbers";
import { useScope } from "../lib/scope";
import { Empty, ErrorBox, Skeleton } from "../ui/feedback";
import { Filters, SelectFilter, TextFilter } from "../ui/filters";
import { Page, Split } from "../ui/page";
import { Table } from "../ui/table";
import { Code, Id } from "../ui/text";
import { TypeDetail } from "../ui/typepicker";
import { publishCommand } from "./home";

const route = getRouteApi("/event-types");

/** The catalogue: what there is to subscribe to, and what the data looks like. */
export function EventTypes() {
  const { q, deprecated, sel } = route.useSearch();
  const navigate = route.useNavigate();
  const scope = useScope();
  const found = useQuery(eventTypes(scope.one));
  const find = q?.toLowerCase();
  const rows = found.data?.filter(
    (t) => (deprecated === undefined || t.deprecated === (deprecated === "true")) && (find === undefined || t.name.toLowerCase().includes(find) || t.description.toLowerCase().includes(find) || t.group?.toLowerCase().includes(find)),
  );
  const set = (change: { q?: string; deprecated?: "true" | "false" }) => void navigate({ search: (s) => ({ ...s, ...change }), replace: true });
  const selected = found.data?.find((t) => t.name === sel);
  return (
    <Page
      title="Event types"
      sub={
        scope.all
          ? "Those that all tenants share, and those of the key's own tenant. Choose a tenant above to see its own."
          : found.data && `${plural(found.data.length, "type")} to subscribe to`
      }
    >
      <Filters clear={q !== undefined || deprecated !== undefined ? () => set({ q: undefined, deprecated: undefined }) : undefined}>
        <TextFilter label="Name, description or group" width={260} value={q} onChange={(v) => set({ q: v })} />
        <SelectFilter label="Show" any="all" value={deprecated} options={[["false", "in use"], ["true", "deprecated"]]} onChange={(v) => set({ deprecated: v })} />
      </Filters>
      <ErrorBox error={found.error} retry={() => void found.refetch()} />
      {!rows ? (
        !found.error && <Skeleton lines={10} height={18} />
      ) : rows.length === 0 ? (
        <Empty title="No event type matches" />
      ) : (
        <Split
          close={() => void navigate({ search: (s) => ({ ...s, sel: undefined }) })}
          title={sel && <Id value={sel} />}
          details={sel && (selected ? <Details type={selected} /> : <p className="muted">There is no such event type.</p>)}
        >
          <Table<EventType>
            label="Event types"
            rows={[...rows].sort((a, b) => (a.name < b.name ? -1 : 1))}
            id={(t) => t.name}
            current={sel}
            open={(t) => void navigate({ search: (s) => ({ ...s, sel: t.name }), replace: sel !== undefined })}
            columns={[
              {
                head: "Name",
                lead: true,
                cell: (t) => (
                  <Link to="." search={(s) => ({ ...s, sel: t.name })} className="mono clip">
                    {t.name}
                  </Link>
                ),
              },
              !sel && { head: "Description", cell: (t: EventType) => <span className="clip" title={t.description}>{t.description}</span> },
              { head: "Kind", cell: (t) => <Kinds type={t} /> },
            ]}
          />
        </Split>
      )}
    </Page>
  );
}

function Kinds({ type: t }: { type: EventType }) {
  return (
    <span className="row tight">
      {t.schema !== undefined && t.schema !== null && <span className="tag">schema</span>}
      {t.built_in ? <span className="tag">built in</span> : t.shared && <span className="tag">shared</span>}
      {t.deprecated && <span className="tag">deprecated</span>}
      {t.group && <span className="tag">{t.group}</span>}
    </span>
  );
}

function Details({ type: t }: { type: EventType }) {
  const manage = useCan("manage");
  const { kind } = useSession();
  return (
    <>
      <TypeDetail type={t} named={false} />
      <div className="row">
        <Link to="/webhooks" search={{ event: t.name }} className="button">Webhooks that get it</Link>
        <Link to="/events" search={{ type: t.name }} className="button">Events of it</Link>
        {manage && <Link to="/webhooks/new" search={{ event: t.name }} className="button">New webhook for it</Link>}
      </div>
      {kind !== "portal" && (
        <>
          <h3>Publish one</h3>
          <Code label="command" text={publishCommand(t.name, t.example ?? {})} />
        </>
      )}
    </>
  );
}
