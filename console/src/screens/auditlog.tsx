import { Page } from "../ui/page";

export function AuditLog() {
  return (
    <Page title="Audit log">
      <span />
    </Page>
  );
}
