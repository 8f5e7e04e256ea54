import type { Tenant } from "../api/schema";
import { State } from "../ui/state";

export function TenantState({ tenant }: { tenant: Pick<Tenant, "status"> }) {
  switch (tenant.status) {
    case "active":
      return <State tone="ok">Active</State>;
    case "suspended":
      return <State tone="wait">Suspended</State>;
    case "deleting":
      return <State tone="busy">Being deleted</State>;
  }
}
