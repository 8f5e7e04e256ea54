import { ApiError } from "../api/client";
import { useScope } from "../lib/scope";
import { ErrorBox } from "../ui/feedback";

/**
 * NotShown says why a single thing can't be shown. Over all tenants it has been looked for among the things of each (Whose).
 */
export function NotShown({ error, retry }: { error: unknown; retry: () => void }) {
  const { all, one } = useScope();
  return (
    <>
      <ErrorBox error={error} retry={retry} />
      {all && one === undefined && error instanceof ApiError && error.status === 404 ? (
        <p className="muted">No tenant has it. It may be older than what is kept.</p>
      ) : null}
    </>
  );
}
