package api

import (
	"context"

	"grapnel/internal/hook"
)

// A portal session acts for its tenant within its capabilities (P2). Each operation states the one that it needs in its
// registration. What a session may call is decided there and nowhere else; behind it, a session only sees less.

// The capabilities that an operation can need, for registrations.
const (
	portalView    = hook.CapabilityView
	portalTest    = hook.CapabilityTest
	portalRetry   = hook.CapabilityRetry
	portalManage  = hook.CapabilityManage
	portalSecrets = hook.CapabilitySecrets
	// portalClosed is of operations that no portal session may call. No session has it.
	portalClosed hook.Capability = "closed"
)

// portalExtension documents the capability that an operation needs, for programs that read the document.
func portalExtension(op *operation) map[string]any {
	if op.portal == portalClosed {
		return nil
	}
	return map[string]any{"x-portal-capability": string(op.portal)}
}

// portalAllows refuses a session that may not call the operation.
func portalAllows(s *hook.PortalSession, op *operation) error {
	switch {
	case op.portal == portalClosed:
		return &hook.Error{Kind: hook.KindForbidden, Message: "a portal session may not do this: it needs an API key"}
	case !s.Allows(op.portal):
		return lacksCapability(op.portal)
	}
	return nil
}

func lacksCapability(c hook.Capability) *hook.Error {
	return &hook.Error{Kind: hook.KindForbidden, Message: "the portal session lacks the capability " + string(c)}
}

// sessionOf returns the portal session that makes the request; nil if an API key does.
func sessionOf(ctx context.Context) *hook.PortalSession { return principal(ctx).Session }

// seesSecrets reports whether the answer may show a signing secret. Of an API key the operation's scopes decide that.
func seesSecrets(ctx context.Context) bool {
	s := sessionOf(ctx)
	return s == nil || s.Allows(hook.CapabilitySecrets)
}

// checkSecretChange refuses a portal session that may not change secrets, if a request gives a stored webhook another one.
func checkSecretChange(ctx context.Context, secret *string) error {
	if secret == nil || seesSecrets(ctx) {
		return nil
	}
	err := lacksCapability(hook.CapabilitySecrets)
	err.Violations = []hook.Violation{{Location: "body.secret", Message: "can be changed with the capability secrets alone"}}
	return err
}

// authenticateSession finds the portal session of a token.
func (a *API) authenticateSession(ctx context.Context, token hook.Secret, named string) (caller, error) {
	return a.lookUpKey(ctx, named, func(ctx context.Context) (hook.Authentication, error) {
		return a.Store.AuthenticateSession(ctx, hook.HashKey(token), named)
	})
}
