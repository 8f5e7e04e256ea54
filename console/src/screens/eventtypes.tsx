import { Page } from "../ui/page";

export function EventTypes() {
  return (
    <Page title="Event types">
      <span />
    </Page>
  );
}
