package api

import (
	"context"
	"net/http"
	"time"

	"grapnel/internal/hook"
)

// Session says who the caller is, and what it may do.
type Session struct {
	Kind         string         `json:"kind" enum:"platform,tenant,portal" doc:"platform: a platform key. tenant: an API key of an account. portal: a portal session." example:"portal"`
	Tenant       *SessionTenant `json:"tenant,omitempty" doc:"The account for which the request acts. Absent with a platform key that names none."`
	Capabilities []string       `json:"capabilities" enum:"view,test,retry,manage,secrets,keys,operator" doc:"What the caller may do. view, test, retry, manage and secrets are as in a portal session; of an API key they follow from its scopes. keys: manage API keys. operator: act for every tenant." example:"[\"view\",\"test\",\"retry\"]"`
	Name         string         `json:"name,omitempty" doc:"The name of the portal session or of the API key." example:"alice@customer.example"`
	Theme        *PortalTheme   `json:"theme,omitempty" doc:"How the application looks in the portal session. Absent: its own theme."`
	ExpiresAt    *time.Time     `json:"expires_at,omitempty" doc:"When the session or the API key ends; absent if it never does." example:"2026-01-15T13:00:00Z"`
}

// SessionTenant is the account for which the caller acts.
type SessionTenant struct {
	ID         string `json:"id" doc:"The account's id." example:"ten_01kab1s6rzfkqbzry2kztmfpx1"`
	Name       string `json:"name" doc:"The account's name." example:"acme"`
	ExternalID string `json:"external_id,omitempty" doc:"The platform's own id of the account, if it has one." example:"customer-4711"`
}

// The kinds of callers, and the capabilities that no portal session has.
const (
	callerPlatform = "platform"
	callerTenant   = "tenant"
	callerPortal   = "portal"

	capabilityKeys     hook.Capability = "keys"
	capabilityOperator hook.Capability = "operator"
)

type currentSessionOutput struct {
	Body Session
}

func (a *API) registerCurrentSession() {
	register(a, operation{
		id: "get-session", portal: portalView, method: http.MethodGet, path: "/v1/session", tag: tagStandard,
		scopes:  hook.Scopes(),
		summary: "Get the caller's session", description: "Who the API key or the token of a portal session is, for which account it acts, and what it may do.",
	}, a.getSession)
}

func (a *API) getSession(ctx context.Context, _ *struct{}) (*currentSessionOutput, error) {
	key, c := principal(ctx), callerOf(ctx)
	v := Session{Kind: callerTenant, Capabilities: capabilityTexts(capabilitiesOf(&key)), Name: key.Name}
	switch {
	case key.Session != nil:
		v.Kind, v.Theme = callerPortal, viewTheme(key.Session.Theme)
	case key.Platform():
		v.Kind = callerPlatform
	}
	if key.ExpiresAt != nil {
		at := seconds(*key.ExpiresAt)
		v.ExpiresAt = &at
	}
	if v.Kind != callerPlatform || c.named != "" {
		t, err := a.Store.FindTenant(ctx, key.TenantID.String())
		if err != nil {
			return nil, err
		}
		v.Tenant = &SessionTenant{ID: t.ID.String(), Name: t.Name, ExternalID: t.ExternalID}
	}
	return &currentSessionOutput{Body: v}, nil
}

// capabilitiesOf returns what a key may do in the terms of portal sessions, and whether it manages keys and acts for every
// tenant.
func capabilitiesOf(key *hook.APIKey) []hook.Capability {
	if key.Session != nil {
		return key.Session.Capabilities
	}
	list := []hook.Capability{}
	if key.Allows(hook.ScopeRead, hook.ScopeWebhooks) {
		list = append(list, hook.CapabilityView)
	}
	if key.Allows(hook.ScopeWebhooks) {
		list = append(list, hook.CapabilityTest, hook.CapabilityRetry, hook.CapabilityManage, hook.CapabilitySecrets)
	}
	if key.Allows() {
		list = append(list, capabilityKeys)
	}
	if key.Platform() {
		list = append(list, capabilityOperator)
	}
	return list
}
