import { ApiError } from "../api/client";
import { useScope } from "../lib/scope";
import { ErrorBox } from "../ui/feedback";

/**
 * NotShown says why a single thing can't be shown. Over all tenants the API finds a thing of the tenant default only, as an
 * id does not say whose it is.
 */
export function NotShown({ error, retry }: { error: unknown; retry: () => void }) {
  const { all, one } = useScope();
  return (
    <>
      <ErrorBox error={error} retry={retry} />
      {all && one === undefined && error instanceof ApiError && error.status === 404 ? (
        <p className="muted">No tenant is chosen, so it was looked for among the things of the tenant default. Choose its tenant at the top.</p>
      ) : null}
    </>
  );
}
