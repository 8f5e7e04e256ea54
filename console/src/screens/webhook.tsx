import { Page } from "../ui/page";

export function WebhookScreen() {
  return (
    <Page title="Webhook">
      <span />
    </Page>
  );
}
