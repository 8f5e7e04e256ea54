// What the screens of deliveries, events and replays read beside api/queries.
import { keepPreviousData, queryOptions } from "@tanstack/react-query";

import { acting, api, unwrap } from "../api/client";
import type { paths } from "../api/schema";
import { live } from "../lib/live";

type Tenant = string | undefined;
type QueryOf<P extends keyof paths> = paths[P] extends { get: { parameters: { query?: infer Q } } } ? NonNullable<Q> : never;

export const events = (tenant: Tenant, query: QueryOf<"/v1/events">) =>
  queryOptions({
    queryKey: ["events", tenant, query],
    queryFn: ({ signal }) => unwrap(api.GET("/v1/events", { ...acting(tenant), params: { query }, signal })),
    placeholderData: keepPreviousData,
    meta: live,
  });

export const event = (tenant: Tenant, id: string) =>
  queryOptions({
    queryKey: ["event", tenant, id],
    queryFn: ({ signal }) => unwrap(api.GET("/v1/events/{id}", { ...acting(tenant), params: { path: { id } }, signal })),
    meta: live,
  });

export const replays = (tenant: Tenant, query: QueryOf<"/v1/replays">) =>
  queryOptions({
    queryKey: ["replays", tenant, query],
    queryFn: ({ signal }) => unwrap(api.GET("/v1/replays", { ...acting(tenant), params: { query }, signal })),
    placeholderData: keepPreviousData,
    meta: live,
  });

/** A replay under way is read every second, so that its progress moves. */
export const replay = (tenant: Tenant, id: string) =>
  queryOptions({
    queryKey: ["replay", tenant, id],
    queryFn: ({ signal }) => unwrap(api.GET("/v1/replays/{id}", { ...acting(tenant), params: { path: { id } }, signal })),
    meta: live,
    refetchInterval: ({ state }) => (state.data?.state === "running" ? 1000 : false),
  });
