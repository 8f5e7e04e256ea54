// What the screens of tenants, keys, sessions and the audit log read beside api/queries.
import { keepPreviousData, queryOptions } from "@tanstack/react-query";

import { acting, api, unwrap } from "../api/client";
import type { paths } from "../api/schema";
import { live } from "../lib/live";

type Tenant = string | undefined;
type QueryOf<P extends keyof paths> = paths[P] extends { get: { parameters: { query?: infer Q } } } ? NonNullable<Q> : never;

/** A tenant; while it is being deleted it is read every second, so that the progress moves. */
export const tenant = (name: string) =>
  queryOptions({
    queryKey: ["tenant", name],
    queryFn: ({ signal }) => unwrap(api.GET("/v1/tenants/{tenant}", { params: { path: { tenant: name } }, signal })),
    refetchInterval: ({ state }) => (state.data?.status === "deleting" && state.status !== "error" ? 1000 : false),
  });

export const tenantUsage = (name: string, query: QueryOf<"/v1/usage">) =>
  queryOptions({
    queryKey: ["tenant-usage", name, query],
    queryFn: ({ signal }) => unwrap(api.GET("/v1/tenants/{tenant}/usage", { params: { path: { tenant: name }, query }, signal })),
    placeholderData: keepPreviousData,
  });

export const keys = (tenant: Tenant, query: QueryOf<"/v1/api-keys">) =>
  queryOptions({
    queryKey: ["api-keys", tenant, query],
    queryFn: ({ signal }) => unwrap(api.GET("/v1/api-keys", { ...acting(tenant), params: { query }, signal })),
    placeholderData: keepPreviousData,
  });

export const auditLog = (tenant: Tenant, query: QueryOf<"/v1/audit-log">) =>
  queryOptions({
    queryKey: ["audit-log", tenant, query],
    queryFn: ({ signal }) => unwrap(api.GET("/v1/audit-log", { ...acting(tenant), params: { query }, signal })),
    placeholderData: keepPreviousData,
    meta: live,
  });

export const portalSessions = (tenant: Tenant, query: { limit?: number; cursor?: string }) =>
  queryOptions({
    queryKey: ["portal-sessions", tenant, query],
    queryFn: ({ signal }) => unwrap(api.GET("/v1/portal-sessions", { ...acting(tenant), params: { query }, signal })),
    placeholderData: keepPreviousData,
  });
