import { Page } from "../ui/page";

export function PortalSessions() {
  return (
    <Page title="Portal sessions">
      <span />
    </Page>
  );
}
