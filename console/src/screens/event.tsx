import { Page } from "../ui/page";

export function EventScreen() {
  return (
    <Page title="Event">
      <span />
    </Page>
  );
}
