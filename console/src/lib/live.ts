import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";

import { acting, api } from "../api/client";

/** How often the API is asked whether there is anything new. */
const every = 5000;

/** Marks a query whose answer is renewed while it is shown: `queryOptions({ …, meta: live })`. */
export const live = { live: true };

/**
 * Renews the live queries that are shown when there is anything new for the tenant. One small request every 5 s, and none
 * while the page is hidden. What is selected and where one is in the page stays, as both are in the address.
 */
export function useLive(tenant: string | undefined): void {
  const client = useQueryClient();
  useEffect(() => {
    const stop = new AbortController();
    let cursor: string | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let asking = false;
    const ask = async () => {
      if (asking) return;
      asking = true;
      if (!document.hidden) {
        try {
          const { data, response } = await api.GET("/v1/changes", { ...acting(tenant), params: { query: { since: cursor } }, signal: stop.signal });
          if (data) {
            if (cursor !== undefined && data.changed) renew(client);
            cursor = data.cursor;
          } else if (response.status === 404 || response.status === 400 || response.status === 422) {
            // Another version of the server, during an update, or a cursor that it does not know any more.
            cursor = undefined;
            renew(client);
          }
        } catch {
          // No answer: asked again. The queries keep what they have.
        }
      }
      asking = false;
      clearTimeout(timer);
      if (!stop.signal.aborted) timer = setTimeout(() => void ask(), every);
    };
    void ask();
    const shown = () => {
      if (!document.hidden) void ask();
    };
    document.addEventListener("visibilitychange", shown);
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", shown);
    };
  }, [client, tenant]);
}

/** Renews the live queries that are shown, as after a change of one's own. */
export function renew(client: QueryClient): void {
  void client.invalidateQueries({ predicate: (q) => q.meta?.live === true });
}
