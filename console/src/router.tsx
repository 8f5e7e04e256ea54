// Every address of the console, with the types of its search parameters. A screen is loaded when it is first shown; read
// its parameters with getRouteApi("/webhooks").useSearch().
import { createRootRoute, createRoute, createRouter, lazyRouteComponent, retainSearchParams } from "@tanstack/react-router";

import { oneOf, parseSearch, searchOf, someOf, stringifySearch, text, texts } from "./lib/search";
import { NotFound, ScreenError, Shell } from "./shell";

export const deliveryStatuses = ["pending", "success", "failed", "canceled", "timed_out", "dropped"] as const;
export const errorClasses = ["status", "redirect", "timeout", "refused", "reset", "unreachable", "dns", "tls", "blocked", "too_large", "protocol", "other"] as const;
export const statsRanges = ["1h", "24h", "7d", "30d"] as const;
const bool = oneOf("true", "false");

const root = createRootRoute({
  component: Shell,
  notFoundComponent: NotFound,
  errorComponent: ScreenError,
  validateSearch: searchOf({ tenant: text, of: text }),
  // What an operator looks at stays when they go from screen to screen.
  search: { middlewares: [retainSearchParams(["tenant"])] },
});

const at = <const P extends string>(path: P) => ({ getParentRoute: () => root, path });

// Webhooks
const home = createRoute({ ...at("/"), validateSearch: searchOf({ range: oneOf(...statsRanges) }), component: lazyRouteComponent(() => import("./screens/home"), "Home") });
const webhooks = createRoute({
  ...at("/webhooks"),
  validateSearch: searchOf({ active: bool, event: text, profile: oneOf("standard", "momento", "commenda"), cursor: text, sel: text }),
  component: lazyRouteComponent(() => import("./screens/webhooks"), "Webhooks"),
});
const newWebhook = createRoute({ ...at("/webhooks/new"), validateSearch: searchOf({ event: text }), component: lazyRouteComponent(() => import("./screens/webhookform"), "NewWebhook") });
const webhook = createRoute({
  ...at("/webhooks/$id"),
  validateSearch: searchOf({
    tab: oneOf("overview", "deliveries", "test"), range: oneOf(...statsRanges),
    status: someOf(...deliveryStatuses), event_type: text, since: text, until: text, cursor: text, sel: text,
  }),
  component: lazyRouteComponent(() => import("./screens/webhook"), "WebhookScreen"),
});
const editWebhook = createRoute({ ...at("/webhooks/$id/edit"), component: lazyRouteComponent(() => import("./screens/webhookform"), "EditWebhook") });
const eventTypes = createRoute({
  ...at("/event-types"),
  validateSearch: searchOf({ q: text, deprecated: bool, sel: text }),
  component: lazyRouteComponent(() => import("./screens/eventtypes"), "EventTypes"),
});

// Deliveries
const deliveries = createRoute({
  ...at("/deliveries"),
  validateSearch: searchOf({
    webhook_id: text, status: someOf(...deliveryStatuses), status_class: oneOf("2xx", "3xx", "4xx", "5xx"), error_class: oneOf(...errorClasses),
    event_type: text, reference: text, final: bool, undelivered: oneOf("true"), since: text, until: text, cursor: text, sel: text,
  }),
  component: lazyRouteComponent(() => import("./screens/deliveries"), "Deliveries"),
});
const delivery = createRoute({ ...at("/deliveries/$id"), validateSearch: searchOf({ attempt: text }), component: lazyRouteComponent(() => import("./screens/delivery"), "DeliveryScreen") });
const events = createRoute({
  ...at("/events"),
  validateSearch: searchOf({ type: text, reference: text, since: text, until: text, cursor: text, sel: text }),
  component: lazyRouteComponent(() => import("./screens/events"), "Events"),
});
const event = createRoute({ ...at("/events/$id"), component: lazyRouteComponent(() => import("./screens/event"), "EventScreen") });
const replays = createRoute({ ...at("/replays"), validateSearch: searchOf({ webhook_id: text, cursor: text, sel: text }), component: lazyRouteComponent(() => import("./screens/replays"), "Replays") });
const newReplay = createRoute({
  ...at("/replays/new"),
  validateSearch: searchOf({ webhook_id: text, webhook_ids: texts, delivery_ids: texts, since: text, until: text, status: oneOf("failed", "missing", "all"), status_class: oneOf("3xx", "4xx", "5xx"), error_class: oneOf(...errorClasses), event_type: text, reference: text }),
  component: lazyRouteComponent(() => import("./screens/replays"), "NewReplay"),
});
const replay = createRoute({ ...at("/replays/$id"), component: lazyRouteComponent(() => import("./screens/replay"), "ReplayScreen") });

// Accounts
const tenants = createRoute({
  ...at("/tenants"),
  validateSearch: searchOf({ name: text, status: oneOf("active", "suspended", "deleting"), cursor: text }),
  component: lazyRouteComponent(() => import("./screens/tenants"), "Tenants"),
});
const tenant = createRoute({
  ...at("/tenants/$id"),
  validateSearch: searchOf({ tab: oneOf("overview", "usage", "portal") }),
  component: lazyRouteComponent(() => import("./screens/tenant"), "TenantScreen"),
});
const keys = createRoute({ ...at("/keys"), validateSearch: searchOf({ cursor: text }), component: lazyRouteComponent(() => import("./screens/keys"), "Keys") });
const auditLog = createRoute({
  ...at("/audit-log"),
  validateSearch: searchOf({ actor: text, action: text, target: text, since: text, until: text, cursor: text, sel: text }),
  component: lazyRouteComponent(() => import("./screens/auditlog"), "AuditLog"),
});
const portalSessions = createRoute({ ...at("/portal-sessions"), validateSearch: searchOf({ cursor: text }), component: lazyRouteComponent(() => import("./screens/portalsessions"), "PortalSessions") });

export const router = createRouter({
  routeTree: root.addChildren([
    home, webhooks, newWebhook, webhook, editWebhook, eventTypes,
    deliveries, delivery, events, event, replays, newReplay, replay,
    tenants, tenant, keys, auditLog, portalSessions,
  ]),
  basepath: "/console",
  parseSearch,
  stringifySearch,
  defaultPreload: "intent",
  scrollRestoration: true,
  // A scroll position per address, also when only the search differs.
  getScrollRestorationKey: (location) => location.href,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
