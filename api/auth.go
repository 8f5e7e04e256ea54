package api

import (
	"context"
	"errors"
	"strings"

	"github.com/danielgtaylor/huma/v2"

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

// authorize lets in requests with a key that has one of the scopes.
func (a *API) authorize(scopes []hook.Scope) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		key, err := a.authenticate(ctx)
		if err == nil && !key.Allows(scopes...) {
			err = &hook.Error{Kind: hook.KindForbidden, Message: "the API key lacks the scope " + oneOf(scopes)}
		}
		if err != nil {
			a.refuse(ctx, err)
			return
		}
		next(huma.WithValue(ctx, principalKey{}, key))
	}
}

func (a *API) authenticate(ctx huma.Context) (hook.APIKey, error) {
	if a.Config.NoAuth {
		return hook.APIKey{TenantID: hook.DefaultTenant(), Name: "--auth=none", Scopes: []hook.Scope{hook.ScopeAdmin}}, nil
	}
	scheme, text, _ := strings.Cut(ctx.Header("Authorization"), " ")
	text = strings.TrimSpace(text)
	if !strings.EqualFold(scheme, bearer) || text == "" {
		return hook.APIKey{}, &hook.Error{Kind: hook.KindUnauthorized, Message: "send an API key: Authorization: Bearer KEY"}
	}
	bounded, cancel := context.WithTimeout(ctx.Context(), a.Config.Timeout)
	defer cancel()
	key, err := a.Store.Authenticate(bounded, hook.Secret(text))
	if hook.KindOf(err) == hook.KindNotFound {
		// Unknown, revoked and expired keys look the same from outside.
		return key, &hook.Error{Kind: hook.KindUnauthorized, Message: "the API key is not valid"}
	}
	return key, err
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
