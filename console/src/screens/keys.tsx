import { Page } from "../ui/page";

export function Keys() {
  return (
    <Page title="Keys">
      <span />
    </Page>
  );
}
