package api

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"grapnel/internal/hook"
)

const bearer = "bearer"

// callerKey is the context key of the caller of a request.
type callerKey struct{}

// caller is the result of authenticating a request. TenantID of its Key is the tenant for which the request acts, which
// need not be that of the key itself (see actFor).
type caller struct {
	hook.Authentication
	// cached is the hash of the API key if the key came from the publish cache; otherwise it is zero.
	cached hook.KeyHash
	// named is the tenant as the request names it; empty if it names none.
	named string
	// all reports whether the request is for all tenants (K4). It then acts for none.
	all bool
	// host is the host that the request was sent to, and secure reports whether it came over TLS.
	host   string
	secure bool
	// admitted reports whether the request's event has been counted at the tenant's rate (K7).
	admitted bool
}

// callerOf returns the caller of the request that ctx belongs to.
func callerOf(ctx context.Context) *caller {
	if c, ok := ctx.Value(callerKey{}).(*caller); ok {
		return c
	}
	return &caller{}
}

// principal returns the API key of the request.
func principal(ctx context.Context) hook.APIKey { return callerOf(ctx).Key }

// tenant returns the account for which the request acts: that of its API key, or the one that it names. It is the zero
// value, which owns nothing, for a list over all tenants.
func tenant(ctx context.Context) hook.TenantID { return callerOf(ctx).Key.TenantID }

// authorize returns a middleware that refuses requests without an API key, or portal session, that may call the operation.
func (a *API) authorize(op *operation) func(huma.Context, func(huma.Context)) {
	source := keySource{anywhere: op.keyAnywhere, cache: op.cachedKey, tokens: op.tokens}
	return func(ctx huma.Context, next func(huma.Context)) {
		named, malformed := namedTenant(ctx)
		c, err := a.authenticate(ctx, source, named)
		if err == nil {
			wrong := cmp.Or(malformed, c.actFor(op.allTenants))
			c.host, c.secure = ctx.Host(), ctx.TLS() != nil
			if r := refusalOf(ctx.Context()); r != nil {
				r.key = c.Key
			}
			err = cmp.Or(a.limits.request(&c.Key, time.Now()), wrong)
		}
		switch {
		case err != nil:
		case c.Key.Session != nil:
			err = portalAllows(c.Key.Session, op)
		case !c.Key.Allows(op.scopes...):
			err = &hook.Error{Kind: hook.KindForbidden, Message: "the API key lacks the scope " + oneOf(op.scopes)}
		case op.platform && !c.Key.Platform():
			err = &hook.Error{Kind: hook.KindForbidden, Message: "only a platform key may do this: one with the scope platform, or GRAPNEL_ADMIN_KEY"}
		}
		if err != nil {
			a.refuse(ctx, err)
			return
		}
		ctx = huma.WithValue(ctx, callerKey{}, &c)
		if !op.publishes { // publishing is no change that is logged, and need not pay for it
			ctx = huma.WithContext(ctx, hook.WithActor(ctx.Context(), c.Key.Actor(sourceAddress(ctx.RemoteAddr()))))
		}
		next(ctx)
	}
}

// sourceAddress returns the IP address of a connection's other end. Behind a proxy that is the proxy's: headers that say
// otherwise can be sent by anybody.
func sourceAddress(remote string) string {
	if a, err := netip.ParseAddrPort(remote); err == nil {
		return a.Addr().Unmap().String()
	}
	return ""
}

// keySource states where an operation may find the caller's API key.
type keySource struct {
	anywhere bool // also without a scheme in Authorization, or in the query (M9)
	cache    bool // in the publish cache, without asking the database
	tokens   bool // in a topic token
}

// authenticate finds the API key of a request, and the tenant that it names.
func (a *API) authenticate(ctx huma.Context, source keySource, named string) (caller, error) {
	find := bearerKey
	if source.anywhere {
		find = anyKey
	}
	text, err := find(ctx)
	if a.Config.NoAuth && !hook.IsPortalToken(text) {
		r, _ := humago.Unwrap(ctx)
		if err := checkLocal(r); err != nil {
			return caller{}, err
		}
		return a.lookUpKey(ctx.Context(), named, func(ctx context.Context) (hook.Authentication, error) {
			return a.withNamed(ctx, anonymous(), named)
		})
	}
	if err != nil {
		return caller{}, err
	}
	if hook.IsPortalToken(text) {
		return a.authenticateSession(ctx.Context(), text, named)
	}
	if source.tokens && hook.IsTopicToken(text) {
		return a.lookUpKey(ctx.Context(), named, func(ctx context.Context) (hook.Authentication, error) {
			key, err := a.Store.TopicToken(ctx, text)
			if err != nil {
				return hook.Authentication{}, err
			}
			return a.withNamed(ctx, hook.Authentication{Key: key}, named)
		})
	}
	hash := hook.HashKey(text)
	if source.cache {
		if c, ok := a.cachedCaller(hash, named); ok {
			return c, nil
		}
	}
	return a.authenticateHash(ctx.Context(), hash, named)
}

// anonymous is the operator that every local caller is with --auth=none.
func anonymous() hook.Authentication {
	return hook.Authentication{
		Key:     hook.APIKey{TenantID: hook.DefaultTenant(), Name: "--auth=none", Scopes: []hook.Scope{hook.ScopeAdmin}, Operator: true},
		Schemas: true,
	}
}

// authenticateHash asks the store for the key with a hash, and for the tenant that the request names.
func (a *API) authenticateHash(ctx context.Context, hash hook.KeyHash, named string) (caller, error) {
	return a.lookUpKey(ctx, named, func(ctx context.Context) (hook.Authentication, error) {
		return a.Store.Authenticate(ctx, hash, named)
	})
}

// lookUpKey calls look, for at most Config.Timeout. A key that is not found is unauthorized: unknown, revoked and
// expired keys look the same from outside.
func (a *API) lookUpKey(ctx context.Context, named string, look func(context.Context) (hook.Authentication, error)) (caller, error) {
	bounded, cancel := context.WithTimeout(ctx, a.Config.Timeout)
	defer cancel()
	found, err := look(bounded)
	if hook.KindOf(err) == hook.KindNotFound {
		err = &hook.Error{Kind: hook.KindUnauthorized, Message: "the API key is not valid"}
	}
	return caller{Authentication: found, named: named}, err
}

// bearerKey returns the key of a request that sends it as RFC 6750 prescribes.
func bearerKey(ctx huma.Context) (hook.Secret, error) {
	scheme, text, _ := strings.Cut(ctx.Header("Authorization"), " ")
	text = strings.TrimSpace(text)
	if !strings.EqualFold(scheme, bearer) || text == "" {
		return "", &hook.Error{Kind: hook.KindUnauthorized, Message: "send an API key: Authorization: Bearer KEY"}
	}
	return hook.Secret(text), nil
}

// anyKey returns the key of a request that may also send it without a scheme in the header, or in the query
// parameter token. A request that sends both is refused (M9).
func anyKey(ctx huma.Context) (hook.Secret, error) {
	header, token := ctx.Header("Authorization"), ctx.Query("token")
	switch {
	case header != "" && token != "":
		return "", malformed("query.token", "the API key is in the Authorization header too; give one of them")
	case token != "":
		return hook.Secret(token), nil
	case header != "" && !strings.Contains(header, " "):
		return hook.Secret(header), nil
	default:
		if key, err := bearerKey(ctx); err == nil {
			return key, nil
		}
		return "", &hook.Error{Kind: hook.KindUnauthorized, Message: "send an API key: Authorization: KEY, or the query parameter token"}
	}
}

// The security schemes other than bearer.
const (
	rawKey   = "rawKey"
	tokenKey = "tokenKey"
)

func securitySchemes() map[string]*huma.SecurityScheme {
	return map[string]*huma.SecurityScheme{
		bearer:   {Type: "http", Scheme: "bearer", Description: "The API key, gk_…, or the token of a portal session, gps_…, without the word Bearer. Its scopes are admin, webhooks, publish, read and subscribe; admin includes the others. platform is beside them: a platform key acts for the tenant that the header Grapnel-Tenant names."},
		rawKey:   {Type: "apiKey", In: "header", Name: "Authorization", Description: "The API key, or a topic token, without a scheme, on the topics' paths."},
		tokenKey: {Type: "apiKey", In: "query", Name: "token", Description: "The API key, or better a topic token, in the URL, on the topics' paths, for clients that can't set headers. URLs get into logs and histories."},
	}
}

// security lists the security schemes that an operation accepts.
func security(op *operation) []map[string][]string {
	if op.public {
		return []map[string][]string{}
	}
	all := []map[string][]string{{bearer: {}}}
	if op.keyAnywhere {
		all = append(all, map[string][]string{rawKey: {}}, map[string][]string{tokenKey: {}})
	}
	return all
}

// refuse answers a request with an error in place of its operation.
func (a *API) refuse(ctx huma.Context, err error) {
	err = a.answer(ctx.Context(), ctx.Operation().OperationID, err)
	var headers huma.HeadersError
	if errors.As(err, &headers) {
		for name, values := range headers.GetHeaders() {
			ctx.SetHeader(name, values[0])
		}
	}
	var p *problem
	if errors.As(err, &p) {
		ctx.SetHeader("Content-Type", problemType)
		ctx.SetStatus(p.Status)
		writeJSON(ctx.BodyWriter(), p)
	}
}

// oneOf names the scopes of which one is needed, for a message. No scopes stand for admin alone.
func oneOf(scopes []hook.Scope) string {
	names := make([]string, 0, len(scopes)+1)
	for _, s := range scopes {
		names = append(names, string(s))
	}
	if len(names) == 0 {
		return string(hook.ScopeAdmin)
	}
	return strings.Join(names, " or ")
}
