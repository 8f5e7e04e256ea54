import { Page } from "../ui/page";

export function Webhooks() {
  return (
    <Page title="Webhooks">
      <span />
    </Page>
  );
}
