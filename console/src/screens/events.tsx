import { Page } from "../ui/page";

export function Events() {
  return (
    <Page title="Events">
      <span />
    </Page>
  );
}
