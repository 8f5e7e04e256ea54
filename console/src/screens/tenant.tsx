import { Page } from "../ui/page";

export function TenantScreen() {
  return (
    <Page title="Tenant">
      <span />
    </Page>
  );
}
