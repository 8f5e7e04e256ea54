import { Page } from "../ui/page";

export function ReplayScreen() {
  return (
    <Page title="Replay">
      <span />
    </Page>
  );
}
