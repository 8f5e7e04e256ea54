import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";

import { acting, api, unwrap } from "../api/client";
import { webhook } from "../api/queries";
import type { Webhook } from "../api/schema";
import { useCan } from "../api/session";
import { useKeys } from "../lib/keys";
import { sentence } from "../lib/numbers";
import { useScope } from "../lib/scope";
import { ConfirmDialog } from "../ui/dialog";
import { ErrorBox, Skeleton, toastError, useDone } from "../ui/feedback";
import { Icon } from "../ui/icons";
import { Menu } from "../ui/overlay";
import { Page, TabLinks } from "../ui/page";
import { WebhookState } from "../ui/state";
import { Id } from "../ui/text";
import { Whose } from "../ui/whose";
import { ReplayDialog } from "./replaydialog";
import { RotateDialog } from "./rotatedialog";
import { WebhookDeliveries } from "./webhookdeliveries";
import { WebhookOverview } from "./webhookoverview";
import { WebhookTest } from "./webhooktest";

const route = getRouteApi("/webhooks/$id");

/** One webhook: how it is, what it got, and what can be done. */
export function WebhookScreen() {
  const { id } = route.useParams();
  return (
    <Whose kind="webhook" id={id}>
      <One id={id} />
    </Whose>
  );
}

function One({ id }: { id: string }) {
  const { tab = "overview" } = route.useSearch();
  const navigate = route.useNavigate();
  const scope = useScope();
  const manage = useCan("manage");
  const test = useCan("test");
  const retry = useCan("retry");
  const done = useDone();
  const leave = useNavigate();
  const [dialog, setDialog] = useState<"delete" | "disable" | "rotate" | "replay">();
  const close = () => setDialog(undefined);
  const secrets = useCan("secrets");
  const found = useQuery(webhook(scope.one, id));
  const w = found.data;
  useKeys({
    t: test ? () => void navigate({ search: (s) => ({ tenant: s.tenant, of: s.of, tab: "test" }) }) : undefined,
    e: manage ? () => void navigate({ to: "/webhooks/$id/edit", params: { id }, search: (s) => ({ of: s.of }) }) : undefined,
  });
  const crumb = <Link to="/webhooks">Webhooks</Link>;
  if (!w) {
    return (
      <Page title="Webhook" crumb={crumb}>
        {found.error ? (
          <ErrorBox error={found.error} retry={() => void found.refetch()} />
        ) : (
          <Skeleton lines={8} height={20} />
        )}
        {found.error && (
          <p>
            It may be deleted, or belong to another account. Its deliveries are kept:{" "}
            <Link to="/deliveries" search={{ webhook_id: id }}>look for them</Link>.
          </p>
        )}
      </Page>
    );
  }
  const change = (body: { active?: boolean; paused?: boolean }) => unwrap(api.PATCH("/v1/webhooks/{id}", { ...acting(scope.one), params: { path: { id } }, body }));
  const now = (body: { active?: boolean; paused?: boolean }, text: string) => change(body).then(() => done(text), toastError);
  return (
    <Page
      title={w.description || w.url}
      crumb={crumb}
      sub={
        <span className="row">
          <WebhookState webhook={w} />
          {w.description && <span className="mono wrap">{w.url}</span>}
          <Id value={w.id} />
        </span>
      }
      actions={
        <>
          {test && (
            <Link to="." search={(s) => ({ tenant: s.tenant, of: s.of, tab: "test" })} className="button">
              Test <kbd>t</kbd>
            </Link>
          )}
          {manage && w.active && (
            <button type="button" className="button" onClick={() => void (w.paused ? now({ paused: false }, "Resumed: what was held is being sent") : now({ paused: true }, "Paused: deliveries wait"))}>
              {w.paused ? "Resume" : "Pause"}
            </button>
          )}
          {manage && !w.active && (
            <button type="button" className="button" onClick={() => void now({ active: true }, "Enabled")}>
              Enable
            </button>
          )}
          {manage && w.profile !== "momento" && (
            <Link to="/webhooks/$id/edit" params={{ id }} search={(s) => ({ of: s.of })} className="button">
              Edit
            </Link>
          )}
          {(retry || manage || secrets) && (
            <Menu
              label="More"
              trigger={
                <button type="button" className="button icon" aria-label="More actions">
                  <Icon name="more" />
                </button>
              }
              actions={[
                retry && { label: "Replay events …", run: () => setDialog("replay") },
                secrets && { label: "Rotate the secret …", run: () => setDialog("rotate") },
                manage && w.active && { label: "Disable …", run: () => setDialog("disable"), danger: true },
                manage && { label: "Delete …", run: () => setDialog("delete"), danger: true },
              ]}
            />
          )}
        </>
      }
    >
      <Notice webhook={w} />
      <TabLinks value={tab} tabs={[["overview", "Overview"], ["deliveries", "Deliveries"], test && ["test", "Test"]]} />
      {tab === "deliveries" ? <WebhookDeliveries webhook={w} /> : tab === "test" && test ? <WebhookTest webhook={w} /> : <WebhookOverview webhook={w} />}
      <ConfirmDialog title="Disable this webhook?" open={dialog === "disable"} onClose={close} verb="Disable" danger run={() => change({ active: false }).then(() => done("Disabled"))}>
        <p>Pending deliveries are canceled, and new events make no deliveries. To hold them instead, pause the webhook.</p>
      </ConfirmDialog>
      <ConfirmDialog
        title="Delete this webhook?"
        open={dialog === "delete"}
        onClose={close}
        verb="Delete"
        danger
        run={() =>
          unwrap(api.DELETE("/v1/webhooks/{id}", { ...acting(scope.one), params: { path: { id } } })).then(async () => {
            await leave({ to: "/webhooks" });
            done("Deleted");
          })
        }
      >
        <p>
          <strong className="wrap">{w.description || w.url}</strong> gets nothing more, and its pending deliveries are canceled. What was delivered stays in the log. This can't be undone.
        </p>
      </ConfirmDialog>
      {dialog === "replay" && <ReplayDialog webhook={w} tenant={scope.one} onClose={close} />}
      {dialog === "rotate" && <RotateDialog webhook={w} tenant={scope.one} onClose={close} />}
    </Page>
  );
}

function Notice({ webhook: w }: { webhook: Webhook }) {
  if (w.status === "healthy") return null;
  const text = w.status_reason !== undefined ? sentence(w.status_reason) : w.paused ? "Paused: deliveries wait, and nothing is lost." : !w.active ? "Disabled: it gets no events." : undefined;
  return text ? <p className={`box ${w.status === "failed" ? "bad" : "warn"}`}>{text}</p> : null;
}
