import { Page } from "../ui/page";

export function Replays() {
  return (
    <Page title="Replays">
      <span />
    </Page>
  );
}

export function NewReplay() {
  return (
    <Page title="New replay">
      <span />
    </Page>
  );
}

