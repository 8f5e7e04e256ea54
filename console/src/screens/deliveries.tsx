import { Page } from "../ui/page";

export function Deliveries() {
  return (
    <Page title="Deliveries">
      <span />
    </Page>
  );
}
