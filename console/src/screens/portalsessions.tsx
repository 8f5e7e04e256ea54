import { getRouteApi } from "@tanstack/react-router";

import { Sessions } from "../accounts/sessions";
import { useCan, useSession } from "../api/session";
import { useScope } from "../lib/scope";
import { Empty } from "../ui/feedback";
import { Page } from "../ui/page";

const route = getRouteApi("/portal-sessions");

/** The links by which customers come in: of one tenant, or of all for operators. */
export function PortalSessions() {
  const { cursor } = route.useSearch();
  const scope = useScope();
  const session = useSession();
  const may = useCan("keys");
  return (
    <Page title="Portal sessions" sub="Links by which customers see and manage their own webhooks.">
      {may ? (
        <Sessions tenant={scope.list} all={scope.all} cursor={cursor} own={session.tenant?.id} />
      ) : (
        <Empty title="Not for this token">
          <p>Only an admin key of the account sees its portal sessions.</p>
        </Empty>
      )}
    </Page>
  );
}
