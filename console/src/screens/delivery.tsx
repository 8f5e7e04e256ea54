import { Page } from "../ui/page";

export function DeliveryScreen() {
  return (
    <Page title="Delivery">
      <span />
    </Page>
  );
}

/** A delivery's details, as beside a list. tenant is the value for `acting`. */
export function DeliveryDetails(_: { id: string; tenant: string | undefined }) {
  return null;
}
