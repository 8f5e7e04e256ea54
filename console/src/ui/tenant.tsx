import { useQuery } from "@tanstack/react-query";

import { tenant, tenants } from "../api/queries";

/** The name of a tenant in a row. The first hundred are read at once; the others one by one, and each once. */
export function TenantName({ id }: { id: string | undefined }) {
  const first = useQuery(tenants({ limit: 100 }));
  const listed = first.data?.tenants.find((t) => t.id === id);
  const alone = useQuery({ ...tenant(id ?? ""), enabled: id !== undefined && first.data !== undefined && listed === undefined && first.data.next_cursor !== null, staleTime: Infinity, meta: {} });
  if (id === undefined) return null;
  const t = listed ?? alone.data;
  return (
    <span className="clip" title={t?.external_id ? `${t.external_id} · ${id}` : id} style={{ maxWidth: 160, display: "inline-block", verticalAlign: "bottom" }}>
      {t?.name ?? id}
    </span>
  );
}
