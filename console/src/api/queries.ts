// What the screens read. The key of a query begins with its kind and has the tenant for which it acts.
import { keepPreviousData, queryOptions } from "@tanstack/react-query";

import { live } from "../lib/live";
import { type Range, rangeQuery } from "../lib/range";
import { acting, api, unwrap } from "./client";
import type { paths } from "./schema";

type Tenant = string | undefined;
type QueryOf<P extends keyof paths> = paths[P] extends { get: { parameters: { query?: infer Q } } } ? NonNullable<Q> : never;

/** How many rows a page of a list has. */
export const pageSize = 50;

export const webhooks = (tenant: Tenant, query: QueryOf<"/v1/webhooks">) =>
  queryOptions({
    queryKey: ["webhooks", tenant, query],
    queryFn: ({ signal }) => unwrap(api.GET("/v1/webhooks", { ...acting(tenant), params: { query }, signal })),
    placeholderData: keepPreviousData,
    meta: live,
  });

export const webhook = (tenant: Tenant, id: string) =>
  queryOptions({
    queryKey: ["webhook", tenant, id],
    queryFn: ({ signal }) => unwrap(api.GET("/v1/webhooks/{id}", { ...acting(tenant), params: { path: { id } }, signal })),
    meta: live,
  });

export const deliveries = (tenant: Tenant, query: QueryOf<"/v1/deliveries">) =>
  queryOptions({
    queryKey: ["deliveries", tenant, query],
    queryFn: ({ signal }) => unwrap(api.GET("/v1/deliveries", { ...acting(tenant), params: { query }, signal })),
    placeholderData: keepPreviousData,
    meta: live,
  });

export const delivery = (tenant: Tenant, id: string) =>
  queryOptions({
    queryKey: ["delivery", tenant, id],
    queryFn: ({ signal }) => unwrap(api.GET("/v1/deliveries/{id}", { ...acting(tenant), params: { path: { id } }, signal })),
    meta: live,
  });

/** What an id names, among the things of all tenants. */
export const find = (id: string) =>
  queryOptions({
    queryKey: ["find", id],
    queryFn: ({ signal }) => unwrap(api.GET("/v1/find", { ...acting("*"), params: { query: { id } }, signal })),
    retry: false,
  });

/** All event types that a tenant has, built-in and shared ones first. */
export const eventTypes = (tenant: Tenant) =>
  queryOptions({
    queryKey: ["event-types", tenant],
    queryFn: async ({ signal }) => {
      const first = await unwrap(api.GET("/v1/event-types", { ...acting(tenant), signal }));
      const all = first.event_types;
      // A catalogue over 4 MiB comes in parts.
      for (let cursor = first.next_cursor; cursor; ) {
        const more = await unwrap(api.GET("/v1/event-types", { ...acting(tenant), params: { query: { cursor } }, signal }));
        all.push(...more.event_types);
        cursor = more.next_cursor;
      }
      return all;
    },
    staleTime: 60_000,
  });

export const tenants = (query: QueryOf<"/v1/tenants">) =>
  queryOptions({
    queryKey: ["tenants", query],
    queryFn: ({ signal }) => unwrap(api.GET("/v1/tenants", { params: { query }, signal })),
    placeholderData: keepPreviousData,
    staleTime: 30_000,
  });

export const tenant = (name: string) =>
  queryOptions({
    queryKey: ["tenant", name],
    queryFn: ({ signal }) => unwrap(api.GET("/v1/tenants/{tenant}", { params: { path: { tenant: name } }, signal })),
    meta: live,
  });

export const stats = (tenant: Tenant, range: Range, webhook?: string) =>
  queryOptions({
    queryKey: ["stats", tenant, range, webhook],
    queryFn: ({ signal }) => unwrap(api.GET("/v1/stats", { ...acting(tenant), params: { query: { ...rangeQuery(range), ...(webhook && { webhook }) } }, signal })),
    placeholderData: keepPreviousData,
    meta: live,
  });

/** The counts of each webhook, the one with most failures first; at most 100. */
export const webhookStats = (tenant: Tenant, range: Range) =>
  queryOptions({
    queryKey: ["webhook-stats", tenant, range],
    queryFn: ({ signal }) => unwrap(api.GET("/v1/stats/webhooks", { ...acting(tenant), params: { query: rangeQuery(range) }, signal })),
    placeholderData: keepPreviousData,
    meta: live,
  });
