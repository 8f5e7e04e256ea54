import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";

import { ApiError } from "../api/client";
import * as queries from "../api/queries";
import type { Webhook } from "../api/schema";

/** A webhook in few words: its description, else its URL without the scheme. */
export function webhookLabel(w: Pick<Webhook, "description" | "url">): string {
  return w.description?.trim() || w.url.replace(/^https?:\/\//, "").replace(/\/$/, "");
}

/** The end of an id tells ids made at about the same time apart. */
export function shortId(id: string): string {
  return id.length > 16 ? `${id.slice(0, id.indexOf("_") + 1)}…${id.slice(-8)}` : id;
}

/**
 * useWebhookNames names the webhooks of a list: one request for the newest 100 serves every row. tenant is the value for
 * lists. Others are named by their ids.
 */
export function useWebhookNames(tenant: string | undefined): (id: string) => string {
  const { data } = useQuery({ ...queries.webhooks(tenant, { limit: 100 }), staleTime: 30_000 });
  const names = useMemo(() => new Map(data?.webhooks.map((w) => [w.id, webhookLabel(w)])), [data]);
  return (id) => names.get(id) ?? shortId(id);
}

/** WebhookName names one webhook. tenant is the value for single things. */
export function WebhookName({ id, tenant }: { id: string; tenant: string | undefined }) {
  const { data, error } = useQuery({ ...queries.webhook(tenant, id), staleTime: 30_000 });
  if (data) {
    return <span className="wrap">{webhookLabel(data)}</span>;
  }
  if (error instanceof ApiError && error.status === 404) {
    return (
      <span>
        <span className="mono">{shortId(id)}</span> <span className="muted">(deleted)</span>
      </span>
    );
  }
  return <span className="mono">{shortId(id)}</span>;
}
