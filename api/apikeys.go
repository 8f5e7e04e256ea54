package api

import (
	"context"
	"net/http"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

type keyStore interface {
	// Authenticate finds the valid key with a hash; not found for an unknown, revoked or expired one.
	// It also returns the tenant that the request names by its id or external id, "" for none.
	Authenticate(ctx context.Context, hash hook.KeyHash, named string) (hook.Authentication, error)
	// CachedKey returns a key as the last look-up found it. A publish that relies on it must have the hash among its
	// preconditions.
	CachedKey(hash hook.KeyHash) (hook.APIKey, bool)
	// CachedTenant returns the tenant that a request names, as the last look-up found it. A publish that relies on it
	// must have its key's hash among its preconditions.
	CachedTenant(named string) (hook.TenantID, bool)
	// CachedPublishRate returns the tenant's own limit of events per second as the last look-up found it, nil for none.
	CachedPublishRate(tenant hook.TenantID) (*int, bool)
	// TopicToken returns a key with the permissions of the topic token.
	TopicToken(ctx context.Context, text hook.Secret) (hook.APIKey, error)
	// CreateTopicToken returns the text of a new token.
	CreateTopicToken(ctx context.Context, t hook.TopicToken) (hook.Secret, error)
	// CreateKeyWithin stores a key. It refuses the key if the tenant already has most valid ones.
	CreateKeyWithin(ctx context.Context, k hook.APIKey, text hook.Secret, most int) (hook.APIKey, error)
	// Keys lists keys. Platform keys are left out unless by is the rank of one.
	Keys(ctx context.Context, tenant hook.TenantID, by hook.KeyRank, p hook.Page) ([]hook.APIKey, bool, error)
	// RevokeKey ends a key. One of a higher rank than by is forbidden.
	RevokeKey(ctx context.Context, tenant hook.TenantID, id hook.KeyID, by hook.KeyRank) error
}

// Store lists the methods of the store that the API uses.
type Store interface {
	webhookStore
	signingKeyStore
	eventTypeStore
	eventStore
	deliveryStore
	diagnosisStore
	replayStore
	testStore
	topicStore
	keyStore
	portalStore
	tenantStore
	auditStore
	usageStore
	statsStore
	findStore
}

// APIKey is an API key without its text.
type APIKey struct { //nolint:revive // its name is that of the schema, and so of generated types
	ID        string     `json:"id" doc:"Names the key in paths." example:"key_01kab1s6rzfkqbzry2kztmfpx1"`
	Name      string     `json:"name" doc:"What it is for." example:"Publisher in production"`
	Scopes    []string   `json:"scopes" enum:"admin,webhooks,publish,read" doc:"What it may do." example:"[\"publish\"]"`
	Subscribe bool       `json:"subscribe,omitempty" doc:"Whether the key has the scope subscribe as well. It is not listed in scopes, because older clients don't know it." example:"false"`
	Platform  bool       `json:"platform,omitempty" doc:"Whether it is a platform key, which acts for the tenant that the header Grapnel-Tenant names: it has the scope platform as well, or is the operator's. That scope is not listed in scopes, because older clients don't know it." example:"false"`
	TokenID   string     `json:"token_id,omitempty" doc:"Identifies the publisher to receivers of topic webhooks." example:"mo-the-squirrel"`
	Topics    []string   `json:"topics,omitempty" doc:"Patterns of the event types and topics to which the key is limited, for publishing, reading and following." example:"[\"user.*\"]"`
	Caches    []string   `json:"caches,omitempty" doc:"The caches to whose topics the key is limited, for publishing, reading and following." example:"[\"chat\"]"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"When the key expires; absent if it never does." example:"2027-01-15T12:00:00Z"`
	RevokedAt *time.Time `json:"revoked_at,omitempty" doc:"When the key was revoked; absent if it was not." example:"2026-06-15T12:00:00Z"`
	Operator  bool       `json:"operator,omitempty" doc:"Whether it is the operator's key, GRAPNEL_ADMIN_KEY. That key has every scope, and only the operator can revoke it." example:"false"`
	CreatedAt time.Time  `json:"created_at" doc:"When it was created." example:"2026-01-15T12:00:00Z"`
}

// CreatedAPIKey is an API key with its text, which only the answer that creates it contains.
type CreatedAPIKey struct {
	APIKey
	Key string `json:"key" doc:"The key itself. Only this answer shows it." example:"gk_3v8d1q6rzfkqbzry2kztmfpx13v8d1q6rzfkqbzry2kztmfpx12a"`
}

func viewKey(k *hook.APIKey) APIKey {
	v := APIKey{ID: k.ID.String(), Name: k.Name, Scopes: make([]string, 0, len(k.Scopes)), TokenID: k.TokenID, Topics: k.Topics, Caches: k.Caches, Operator: k.Operator, Platform: k.Platform(), CreatedAt: seconds(k.CreatedAt)}
	for _, s := range k.Scopes {
		if s == hook.ScopeSubscribe {
			v.Subscribe = true
		} else if s != hook.ScopePlatform {
			v.Scopes = append(v.Scopes, string(s))
		}
	}
	for _, t := range []struct{ from, to **time.Time }{{&k.ExpiresAt, &v.ExpiresAt}, {&k.RevokedAt, &v.RevokedAt}} {
		if *t.from != nil {
			at := seconds(**t.from)
			*t.to = &at
		}
	}
	return v
}

type createAPIKeyRequest struct {
	Name      string     `json:"name" minLength:"1" maxLength:"100" doc:"What it is for." example:"Publisher in production"`
	Scopes    []string   `json:"scopes" minItems:"1" maxItems:"6" enum:"admin,webhooks,publish,read,subscribe,platform" doc:"What the key permits. subscribe permits to follow topics and nothing else. admin includes these. platform lets the key act, within its other scopes, for every tenant; only a platform key can create such a key, and without naming a tenant." example:"[\"publish\"]"`
	TokenID   string     `json:"token_id,omitempty" maxLength:"256" doc:"Identifies the publisher to receivers of topic webhooks." example:"mo-the-squirrel"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"Default: never." example:"2027-01-15T12:00:00Z"`
	Topics    []string   `json:"topics,omitempty" maxItems:"100" doc:"Patterns that limit what the key may publish, read, follow and subscribe webhooks to. Default: no limit." example:"[\"user.*\"]"`
	Caches    []string   `json:"caches,omitempty" maxItems:"100" doc:"Limits the key to the topics of these caches. Default: no limit." example:"[\"chat\"]"`
}

type createKeyInput struct {
	Body createAPIKeyRequest
}

type createKeyOutput struct {
	Body CreatedAPIKey
}

type listKeysInput struct {
	Paging
}

// APIKeyList is a page of API keys.
type APIKeyList struct { //nolint:revive // see APIKey
	APIKeys    []APIKey `json:"api_keys" doc:"This page of keys, newest first."`
	NextCursor *string  `json:"next_cursor" nullable:"true" doc:"Cursor of the next page; null on the last page." example:"AWsBmrHU6q9ekr-Xz5m6pYVu"`
}

type listKeysOutput struct {
	Body APIKeyList
}

func (a *API) registerKeys() {
	register(a, operation{
		id: "create-api-key", portal: portalClosed, method: http.MethodPost, path: "/v1/api-keys", tag: tagStandard, status: http.StatusCreated,
		summary: "Create an API key", description: "Only this answer shows the key. An account may have 100 keys (--max-keys) that are neither revoked nor expired; one more is refused with 422 LIMIT_EXCEEDED.",
	}, a.createKey)
	register(a, operation{
		id: "list-api-keys", portal: portalClosed, method: http.MethodGet, path: "/v1/api-keys", tag: tagStandard, large: true,
		summary: "List API keys", description: "Newest first, including revoked keys. Platform keys are among those of the tenant default, for platform keys to see.",
	}, a.listKeys)
	register(a, operation{
		id: "revoke-api-key", portal: portalClosed, method: http.MethodDelete, path: "/v1/api-keys/{id}", tag: tagStandard, status: http.StatusNoContent,
		summary: "Revoke an API key", description: "The key is refused from now on, by every process. Only a platform key can revoke a platform key, and only the operator's key itself the operator's key.", errors: []int{http.StatusNotFound},
	}, a.revokeKey)
	a.registerTopicTokens()
	a.registerPortalSessions()
}

func (a *API) createKey(ctx context.Context, in *createKeyInput) (*createKeyOutput, error) {
	b := &in.Body
	k := hook.APIKey{TenantID: tenant(ctx), Name: b.Name, TokenID: b.TokenID, Topics: b.Topics, Caches: b.Caches, ExpiresAt: b.ExpiresAt}
	for _, s := range b.Scopes {
		k.Scopes = append(k.Scopes, hook.Scope(s))
	}
	key := principal(ctx)
	if k.Platform() && !key.Platform() {
		return nil, &hook.Error{Kind: hook.KindForbidden, Message: "only a platform key can create a platform key"}
	}
	if err := k.Validate(time.Now()); err != nil {
		return nil, err
	}
	if !key.CoversKey(&k) {
		return nil, &hook.Error{Kind: hook.KindForbidden, Message: "the API key is limited to topics: it can only create keys that are limited to some of these topics"}
	}
	text := secrets.NewAPIKey()
	k, err := a.Store.CreateKeyWithin(ctx, k, text, a.Config.MaxKeys)
	if err != nil {
		return nil, err
	}
	return &createKeyOutput{Body: CreatedAPIKey{viewKey(&k), text.Reveal()}}, nil
}

func (a *API) listKeys(ctx context.Context, in *listKeysInput) (*listKeysOutput, error) {
	page, err := in.page(listKeys)
	if err != nil {
		return nil, err
	}
	key := principal(ctx)
	keys, more, err := a.Store.Keys(ctx, tenant(ctx), key.Rank(), page)
	if err != nil {
		return nil, err
	}
	views, next := keyPages().answer(ctx, keys, more)
	return &listKeysOutput{Body: APIKeyList{views, next}}, nil
}

func keyPages() pages[hook.APIKey, APIKey] {
	return pages[hook.APIKey, APIKey]{kind: listKeys, id: func(k *hook.APIKey) [16]byte { return k.ID }, bytes: keyBytes, view: viewKey}
}

func (a *API) revokeKey(ctx context.Context, in *IDPath) (*empty, error) {
	id, err := hook.ParseKeyID(in.ID)
	if err != nil {
		return nil, hook.NotFound("api key")
	}
	key := principal(ctx)
	return nil, a.Store.RevokeKey(ctx, tenant(ctx), id, key.Rank())
}
