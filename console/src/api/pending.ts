// Operations that the document does not have yet, typed by hand in its form. Once it has them, this file goes and
// `pending` becomes `api`.
import createClient from "openapi-fetch";

import { lists, origin, prepare } from "./transport";

export type Capability = "view" | "test" | "retry" | "manage" | "secrets" | "keys" | "operator";

export interface Theme {
  mode?: "light" | "dark" | "system";
  accent?: string;
  logo_text?: string;
}

/** What a token is and may do: GET /v1/session. */
export interface Session {
  kind: "platform" | "tenant" | "portal";
  tenant?: { id: string; name: string; external_id?: string };
  capabilities: Capability[];
  name?: string;
  theme?: Theme;
  expires_at?: string;
}

export interface PortalSession {
  id: string;
  tenant: string;
  name?: string;
  capabilities: Capability[];
  theme?: Theme;
  created_at: string;
  expires_at: string;
}

export interface CreatedPortalSession extends PortalSession {
  url: string;
  token: string;
}

export interface StatsCounts {
  delivered: number;
  failed: number;
  canceled?: number;
  attempts: number;
  failed_attempts: number;
  latency_p50_ms?: number;
  latency_p99_ms?: number;
}

export interface StatsPoint extends StatsCounts {
  at: string;
}

export interface Stats {
  from: string;
  to: string;
  step: "minute" | "hour" | "day";
  points: StatsPoint[];
  totals: StatsCounts;
}

export interface WebhookStats extends StatsCounts {
  webhook_id: string;
}

export interface StatsQuery {
  from?: string;
  to?: string;
  step?: "minute" | "hour" | "day";
  webhook?: string;
}

interface None {
  query?: never;
  header?: never;
  path?: never;
  cookie?: never;
}

interface Get<Response, Query = undefined> {
  parameters: { query?: Query; header?: never; path?: never; cookie?: never };
  requestBody?: never;
  responses: { 200: { headers: Record<string, unknown>; content: { "application/json": Response } } };
}

interface Paths {
  "/v1/session": { parameters: None; get: Get<Session> };
  "/v1/stats": { parameters: None; get: Get<Stats, StatsQuery> };
  "/v1/stats/webhooks": { parameters: None; get: Get<{ webhooks: WebhookStats[] }, StatsQuery> };
  "/v1/changes": {
    parameters: None;
    get: Get<{ cursor: string; changed: boolean }, { since?: string; webhook?: string; delivery?: string; event?: string }>;
  };
  "/v1/portal-sessions": {
    parameters: None;
    get: Get<{ portal_sessions: PortalSession[]; next_cursor: string | null }, { limit?: number; cursor?: string }>;
    post: {
      parameters: None;
      requestBody: {
        content: {
          "application/json": {
            tenant: string;
            capabilities: Capability[];
            expires_in?: number;
            name?: string;
            theme?: Theme;
          };
        };
      };
      responses: { 201: { headers: Record<string, unknown>; content: { "application/json": CreatedPortalSession } } };
    };
    delete: Get<{ revoked: number }>;
  };
  "/v1/portal-sessions/{id}": {
    parameters: None;
    delete: {
      parameters: { query?: never; header?: never; path: { id: string }; cookie?: never };
      requestBody?: never;
      responses: { 204: { headers: Record<string, unknown>; content?: never } };
    };
  };
}

export const pending = createClient<Paths>({ baseUrl: origin, querySerializer: lists });
pending.use(prepare);
