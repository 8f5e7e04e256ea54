import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";

import { useCan } from "../api/session";
import { EventDetails } from "../deliveries/event";
import * as queries from "../deliveries/queries";
import { useScope } from "../lib/scope";
import { Page } from "../ui/page";
import { Whose } from "../ui/whose";

export { EventDetails };

const route = getRouteApi("/events/$id");

/** One event: who got it, who did not and why, and its data. */
export function EventScreen() {
  const { id } = route.useParams();
  return (
    <Whose kind="event" id={id}>
      <One id={id} />
    </Whose>
  );
}

function One({ id }: { id: string }) {
  const scope = useScope();
  const mayReplay = useCan("retry");
  const { data: e } = useQuery(queries.event(scope.one, id));
  const failed = e?.deliveries.filter((d) => d.status !== "success" && d.next_attempt_at === undefined && d.waiting === undefined && d.status !== "pending").slice(0, 100);
  return (
    <Page
      title={e ? `Event ${e.type}` : "Event"}
      crumb={<Link to="/events">Events</Link>}
      actions={
        mayReplay && failed !== undefined && failed.length > 0 ? (
          <Link className="button" to="/replays/new" search={{ delivery_ids: failed.map((d) => d.id), of: scope.all ? scope.one : undefined }}>
            Replay what failed
          </Link>
        ) : undefined
      }
    >
      <EventDetails id={id} tenant={scope.one} />
    </Page>
  );
}
