package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"grapnel/internal/hook"
)

const bearer = "bearer"

// principalKey is the key of the caller's API key in a request's context.
type principalKey struct{}

// principal is the API key that the request came with.
func principal(ctx context.Context) hook.APIKey {
	key, _ := ctx.Value(principalKey{}).(hook.APIKey)
	return key
}

// tenant is the account that the request is for.
func tenant(ctx context.Context) hook.TenantID { return principal(ctx).TenantID }

// authorize lets in requests with a key that may use the operation.
func (a *API) authorize(op *operation) func(huma.Context, func(huma.Context)) {
	scopes, operator := op.scopes, op.operator
	way := keyWay{anywhere: op.keyAnywhere, topics: op.topics, recalls: op.recalls, tokens: op.tokens}
	return func(ctx huma.Context, next func(huma.Context)) {
		key, recalled, err := a.authenticate(ctx, way)
		if err == nil {
			if r := refusalOf(ctx.Context()); r != nil {
				r.key = key
			}
			err = a.limits.request(&key, time.Now())
		}
		switch {
		case err != nil:
		case !key.Allows(scopes...):
			err = &hook.Error{Kind: hook.KindForbidden, Message: "the API key lacks the scope " + oneOf(scopes)}
		case operator && !key.Operator:
			err = &hook.Error{Kind: hook.KindForbidden, Message: "only the operator's key, GRAPNEL_ADMIN_KEY, may do this"}
		}
		if err != nil {
			a.refuse(ctx, err)
			return
		}
		if recalled != "" {
			ctx = huma.WithValue(ctx, recalledKey{}, recalled)
		}
		next(huma.WithValue(ctx, principalKey{}, key))
	}
}

// keyWay is how an operation finds its caller's API key.
type keyWay struct{ anywhere, topics, recalls, tokens bool }

// authenticate finds the request's key; recalled is its text where it is known from
// before only.
func (a *API) authenticate(ctx huma.Context, way keyWay) (key hook.APIKey, recalled hook.Secret, err error) {
	find := bearerKey
	if way.anywhere {
		find = anyKey
	}
	text, err := find(ctx)
	if a.Config.NoAuth {
		r, _ := humago.Unwrap(ctx)
		if err := checkLocal(r); err != nil {
			return hook.APIKey{}, "", err
		}
		return hook.APIKey{TenantID: hook.DefaultTenant(), Name: "--auth=none", Scopes: []hook.Scope{hook.ScopeAdmin}, Operator: true, Schemas: true}, "", nil
	}
	if err != nil {
		return hook.APIKey{}, "", err
	}
	if way.recalls {
		if key, ok := a.Store.RecalledKey(text); ok {
			return key, text, nil
		}
	}
	look := a.Store.Authenticate
	switch {
	case way.tokens && hook.IsTopicToken(text):
		look = a.Store.TopicToken
	case way.topics:
		look = a.Store.AuthenticateForTopics
	}
	key, err = a.lookUpKey(ctx.Context(), look, text)
	return key, "", err
}

// lookUpKey asks the store for a key.
func (a *API) lookUpKey(ctx context.Context, look func(context.Context, hook.Secret) (hook.APIKey, error), text hook.Secret) (hook.APIKey, error) {
	bounded, cancel := context.WithTimeout(ctx, a.Config.Timeout)
	defer cancel()
	key, err := look(bounded, text)
	if hook.KindOf(err) == hook.KindNotFound {
		// Unknown, revoked and expired keys look the same from outside.
		return key, &hook.Error{Kind: hook.KindUnauthorized, Message: "the API key is not valid"}
	}
	return key, err
}

// bearerKey is the key of a request in the form of RFC 6750.
func bearerKey(ctx huma.Context) (hook.Secret, error) {
	scheme, text, _ := strings.Cut(ctx.Header("Authorization"), " ")
	text = strings.TrimSpace(text)
	if !strings.EqualFold(scheme, bearer) || text == "" {
		return "", &hook.Error{Kind: hook.KindUnauthorized, Message: "send an API key: Authorization: Bearer KEY"}
	}
	return hook.Secret(text), nil
}

// anyKey is the key of a request that may also bring it raw in the header, or in
// the query, but not in both (M9).
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

// Security schemes beside bearer.
const (
	rawKey   = "rawKey"
	tokenKey = "tokenKey"
)

func securitySchemes() map[string]*huma.SecurityScheme {
	return map[string]*huma.SecurityScheme{
		bearer:   {Type: "http", Scheme: "bearer", Description: "The API key, gk_…, without the word Bearer. Its scopes are admin, webhooks, publish, read and subscribe; admin includes the others."},
		rawKey:   {Type: "apiKey", In: "header", Name: "Authorization", Description: "The API key, or a topic token, without a scheme, on the topics' paths."},
		tokenKey: {Type: "apiKey", In: "query", Name: "token", Description: "The API key, or better a topic token, in the URL, on the topics' paths, for clients that can't set headers. URLs get into logs and histories."},
	}
}

// security is how an operation's callers may show who they are.
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

// refuse answers before an operation has begun.
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
