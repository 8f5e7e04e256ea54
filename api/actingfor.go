package api

import (
	"cmp"
	"context"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"grapnel/internal/hook"
)

// A request acts for one tenant: that of its API key, or the one that the header Grapnel-Tenant names (K3). Here the
// key is given that tenant, so that everything behind need not know the difference.

// tenantHeader names the tenant for which a request acts. It is no parameter of the operations in the document, because
// each would change the signature of generated clients. api/overview.md documents it.
const tenantHeader = "Grapnel-Tenant"

// namedTenant returns the tenant that a request names, "" for none. An empty header is an error: it is the mistake of a
// client that meant to name a tenant, and must not act for another.
func namedTenant(ctx huma.Context) (string, error) {
	r, _ := humago.Unwrap(ctx)
	switch values := r.Header.Values(tenantHeader); {
	case len(values) == 0:
		return "", nil
	case len(values) > 1:
		return "", hook.Unprocessable("header."+tenantHeader, "is there %d times: name one tenant", len(values))
	case values[0] == "":
		return "", hook.Unprocessable("header."+tenantHeader, "must not be empty: name a tenant, or leave the header out")
	default:
		return values[0], nil
	}
}

// actFor gives the caller's key the tenant for which the request acts. A key that may not act for the tenant gets the
// same error as for one that does not exist, and keeps its own. all permits a platform key to name all tenants (K4).
func (c *caller) actFor(all bool) error {
	switch {
	case c.named == "":
		return nil
	case c.named == hook.EveryTenant && c.Key.Platform():
		if !all {
			return hook.Unprocessable("header."+tenantHeader, "must name one tenant here: * is for the lists of webhooks, events, deliveries, replays and portal sessions, for statistics, changes, the audit log and finding an id")
		}
		c.all, c.Key.TenantID = true, hook.TenantID{}
		return nil
	case c.Named == (hook.TenantID{}), c.Named != c.Key.TenantID && !c.Key.Platform():
		return noTenantAt("header." + tenantHeader)
	}
	c.Key.TenantID = c.Named
	return nil
}

// cachedCaller returns a caller from the publish cache. What the cache has may be out of date (see preconditions.go),
// so it lets in, and never keeps out.
func (a *API) cachedCaller(hash hook.KeyHash, named string) (caller, bool) {
	key, ok := a.Store.CachedKey(hash)
	if !ok {
		return caller{}, false
	}
	c := caller{Authentication: hook.Authentication{Key: key}, cached: hash, named: named}
	if named != "" {
		if c.Named, ok = a.Store.CachedTenant(named); !ok || !key.Platform() && c.Named != key.TenantID {
			return caller{}, false
		}
	}
	c.PublishRate, ok = a.Store.CachedPublishRate(cmp.Or(c.Named, key.TenantID))
	return c, ok
}

// withNamed adds the tenant that the request names to an authentication that did not look it up.
func (a *API) withNamed(ctx context.Context, found hook.Authentication, named string) (hook.Authentication, error) {
	if named == "" || named == hook.EveryTenant {
		return found, nil
	}
	t, err := a.Store.FindTenant(ctx, named)
	if hook.KindOf(err) == hook.KindNoTenant {
		return found, nil
	}
	if err == nil && t.Status != hook.TenantDeleting { // such a one is found by nobody who acts for it
		found.Named, found.Suspended, found.PublishRate = t.ID, t.Status == hook.TenantSuspended, t.Limits.PublishRate
	}
	return found, err
}

// forAll reports whether the caller is a platform key that names no tenant, and so changes what all tenants share (K6).
func forAll(ctx context.Context) bool {
	c := callerOf(ctx)
	return c.Key.Platform() && c.named == ""
}

// listed returns the tenants whose things a list has for the caller (K4).
func listed(ctx context.Context) hook.TenantFilter {
	if callerOf(ctx).all {
		return hook.TenantFilter{All: true}
	}
	return hook.OneTenant(tenant(ctx))
}

// shownTenant returns what an element of a list says about the tenant that it belongs to: nothing, unless the list is
// over all tenants.
func shownTenant(ctx context.Context, id hook.TenantID) string {
	if !callerOf(ctx).all {
		return ""
	}
	return id.String()
}
