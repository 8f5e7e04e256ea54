package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

type portalStore interface {
	// AuthenticateSession finds the session whose token has the hash. The error is hook.SessionEnded if it has ended, and
	// not found if there was none. It also returns the tenant that the request names, if it is the session's.
	AuthenticateSession(ctx context.Context, hash hook.KeyHash, named string) (hook.Authentication, error)
	// CreateSession stores a session that is valid for life, and returns it with its times.
	CreateSession(ctx context.Context, p hook.PortalSession, token hook.Secret, life time.Duration) (hook.PortalSession, error)
	// Sessions lists the sessions that have not ended, and returns where the next page begins.
	Sessions(ctx context.Context, of hook.TenantFilter, p hook.Page) ([]hook.PortalSession, *[16]byte, error)
	RevokeSession(ctx context.Context, tenant hook.TenantID, id hook.PortalSessionID) error
	// RevokeSessions ends all sessions of the tenant, and returns how many.
	RevokeSessions(ctx context.Context, tenant hook.TenantID) (int, error)
}

// PortalSession is a session of the portal without its token.
type PortalSession struct {
	ID           string       `json:"id" doc:"Names the session in paths." example:"ps_01kab1s6rzfkqbzry2kztmfpx1"`
	Tenant       string       `json:"tenant" doc:"The id of the account that it is for." example:"ten_01kab1s6rzfkqbzry2kztmfpx1"`
	Name         string       `json:"name,omitempty" doc:"For whom or what it is." example:"alice@customer.example"`
	Capabilities []string     `json:"capabilities" enum:"view,test,retry,manage,secrets" doc:"What its holder may do." example:"[\"view\",\"test\",\"retry\"]"`
	Theme        *PortalTheme `json:"theme,omitempty" doc:"How the application looks in it. Absent: its own theme."`
	CreatedAt    time.Time    `json:"created_at" doc:"When it was made." example:"2026-01-15T12:00:00Z"`
	ExpiresAt    time.Time    `json:"expires_at" doc:"When it ends, unless it is revoked before." example:"2026-01-15T13:00:00Z"`
}

// PortalTheme is how the application looks in a session.
type PortalTheme struct {
	Mode     string `json:"mode,omitempty" enum:"light,dark,system" doc:"Whether it is light or dark. system, the default, follows the reader's system." example:"system"`
	Accent   string `json:"accent,omitempty" maxLength:"7" doc:"The colour of links and buttons, as #rrggbb. Default: the application's own." example:"#1f6feb"`
	LogoText string `json:"logo_text,omitempty" maxLength:"40" doc:"The text in place of the product's name." example:"Acme webhooks"`
}

// CreatedPortalSession is a portal session with its token, which only the answer that makes it contains.
type CreatedPortalSession struct {
	PortalSession
	URL   string `json:"url" doc:"The link that opens the application in this session. Its fragment has the token, and browsers send fragments to nobody." example:"https://hooks.example.com/console/#token=gps_3v8d1q6rzfkqbzry2kztmfpx13v8d1q6rzfkqbzry2kztmfpx12a"`
	Token string `json:"token" doc:"Takes the place of the API key in requests: Authorization: Bearer gps_…. Only this answer shows it." example:"gps_3v8d1q6rzfkqbzry2kztmfpx13v8d1q6rzfkqbzry2kztmfpx12a"`
}

func viewSession(p *hook.PortalSession) PortalSession {
	return PortalSession{
		ID: p.ID.String(), Tenant: p.TenantID.String(), Name: p.Name, Capabilities: capabilityTexts(p.Capabilities), Theme: viewTheme(p.Theme),
		CreatedAt: seconds(p.CreatedAt), ExpiresAt: seconds(p.ExpiresAt),
	}
}

func viewTheme(t *hook.PortalTheme) *PortalTheme {
	if t == nil {
		return nil
	}
	return &PortalTheme{Mode: string(t.Mode), Accent: t.Accent, LogoText: t.LogoText}
}

func capabilityTexts(list []hook.Capability) []string {
	texts := make([]string, 0, len(list))
	for _, c := range list {
		texts = append(texts, string(c))
	}
	return texts
}

type createPortalSessionRequest struct {
	Tenant       *string      `json:"tenant,omitempty" minLength:"1" maxLength:"255" doc:"The account whose things its holder sees: its id, or your own id of it. A platform key must name one, here or by the header Grapnel-Tenant. Default: the account of the API key." example:"default"`
	Capabilities []string     `json:"capabilities" minItems:"1" maxItems:"5" enum:"view,test,retry,manage,secrets" doc:"What its holder may do. view: read webhooks, events, deliveries and replays, without secrets. test: send test events. retry: retry deliveries and replay events. manage: create, change, pause and delete webhooks. secrets: read and rotate signing secrets. Each includes view." example:"[\"view\",\"test\",\"retry\"]"`
	ExpiresIn    *int         `json:"expires_in,omitempty" minimum:"60" maximum:"604800" doc:"How long it is valid, in seconds: a minute to seven days. Default: 3600." example:"3600"`
	Name         *string      `json:"name,omitempty" maxLength:"100" doc:"For whom or what it is. The audit log names it." example:"alice@customer.example"`
	Theme        *PortalTheme `json:"theme,omitempty" doc:"How the application looks in it. Default: its own theme."`
}

type createPortalSessionInput struct {
	Body createPortalSessionRequest
}

type createPortalSessionOutput struct {
	Body CreatedPortalSession
}

type listPortalSessionsInput struct {
	Paging
}

// PortalSessionList is a page of portal sessions.
type PortalSessionList struct {
	PortalSessions []PortalSession `json:"portal_sessions" doc:"This page of sessions, newest first."`
	NextCursor     *string         `json:"next_cursor" nullable:"true" doc:"Cursor of the next page; null on the last page. A page ends after a bounded search, so it may be short or empty although more pages follow." example:"AXABmrHU6q9ekr-Xz5m6pYVu"`
}

type listPortalSessionsOutput struct {
	Body PortalSessionList
}

// RevokedPortalSessions says how many sessions have ended.
type RevokedPortalSessions struct {
	Revoked int `json:"revoked" doc:"How many sessions have ended." example:"3"`
}

type revokePortalSessionsOutput struct {
	Body RevokedPortalSessions
}

func (a *API) registerPortalSessions() {
	grants := []hook.Scope{hook.ScopeWebhooks}
	register(a, operation{
		id: "create-portal-session", portal: portalClosed, scopes: grants, method: http.MethodPost, path: "/v1/portal-sessions", tag: tagStandard, status: http.StatusCreated,
		summary: "Create a portal session",
		description: "A link with which a customer opens the application for one account, for a limited time and within the given " +
			"capabilities. Its token is an API token with the same limits. Only this answer shows it. Create it when the customer asks " +
			"for it, and send the browser there. It needs a platform key with the scope webhooks, or an account's key with admin, without a limit to topics. An account may have 1,000 sessions at once; one more is refused with 422 LIMIT_EXCEEDED.",
	}, a.createPortalSession)
	register(a, operation{
		id: "list-portal-sessions", portal: portalClosed, scopes: grants, method: http.MethodGet, path: "/v1/portal-sessions", tag: tagStandard, large: true, allTenants: true,
		summary: "List portal sessions", description: "Those that have neither expired nor been revoked, newest first. With Grapnel-Tenant: *, those of all tenants.",
	}, a.listPortalSessions)
	register(a, operation{
		id: "revoke-portal-session", portal: portalClosed, scopes: grants, method: http.MethodDelete, path: "/v1/portal-sessions/{id}", tag: tagStandard, status: http.StatusNoContent,
		summary: "Revoke a portal session", description: "Its token is refused from now on, by every process: with 401 SESSION_ENDED. Revoking one that has ended changes nothing.", errors: []int{http.StatusNotFound},
	}, a.revokePortalSession)
	register(a, operation{
		id: "revoke-portal-sessions", portal: portalClosed, scopes: grants, method: http.MethodDelete, path: "/v1/portal-sessions", tag: tagStandard,
		summary: "Revoke all portal sessions of an account", description: "Their tokens are refused from now on, by every process. It is the account of the API key, or the one that Grapnel-Tenant names.",
	}, a.revokePortalSessions)
	a.registerCurrentSession()
}

// checkGrants refuses keys that may not give others access to an account: keys that are limited to topics, and an account's
// keys without the scope admin. The scope webhooks, which a platform key needs, covers every capability.
func checkGrants(ctx context.Context) error {
	if key := principal(ctx); !key.Platform() && !key.Allows() {
		return &hook.Error{Kind: hook.KindForbidden, Message: "the API key lacks the scope " + string(hook.ScopeAdmin)}
	}
	return checkWholeAccount(ctx)
}

func (a *API) createPortalSession(ctx context.Context, in *createPortalSessionInput) (*createPortalSessionOutput, error) {
	if err := checkGrants(ctx); err != nil {
		return nil, err
	}
	b := &in.Body
	p, life := hook.PortalSession{Name: deref(b.Name)}, hook.DefaultSessionLife
	if b.ExpiresIn != nil {
		life = time.Duration(*b.ExpiresIn) * time.Second
	}
	if b.Theme != nil {
		p.Theme = &hook.PortalTheme{Mode: hook.ThemeMode(b.Theme.Mode), Accent: b.Theme.Accent, LogoText: b.Theme.LogoText}
	}
	given := make([]hook.Capability, 0, len(b.Capabilities))
	for _, c := range b.Capabilities {
		given = append(given, hook.Capability(c))
	}
	if err := p.Validate(given, life); err != nil {
		return nil, err
	}
	p.SetCapabilities(given)
	var err error
	if p.TenantID, err = a.portalTenant(ctx, b.Tenant); err != nil {
		return nil, err
	}
	token := secrets.NewPortalToken()
	if p, err = a.Store.CreateSession(ctx, p, token, life); err != nil {
		return nil, err
	}
	return &createPortalSessionOutput{Body: CreatedPortalSession{viewSession(&p), a.portalURL(ctx, token), token.Reveal()}}, nil
}

// portalTenant returns the tenant of a new session, by its name in the request's body, nil if it is not named there.
func (a *API) portalTenant(ctx context.Context, name *string) (hook.TenantID, error) {
	key, c := principal(ctx), callerOf(ctx)
	if name == nil {
		if key.Platform() && c.named == "" {
			// It would be a session for the tenant default, which belongs to the operator and not to a customer.
			return hook.TenantID{}, hook.Unprocessable("body.tenant", "is required with a platform key, unless the header Grapnel-Tenant names the tenant")
		}
		return key.TenantID, nil
	}
	if *name == hook.EveryTenant && key.Platform() {
		return hook.TenantID{}, hook.Unprocessable("body.tenant", "must name one tenant: * is for lists")
	}
	t, err := a.Store.FindTenant(ctx, *name)
	switch {
	case hook.KindOf(err) == hook.KindNoTenant:
		return t.ID, noTenantAt("body.tenant")
	case err != nil:
		return t.ID, err
	case t.Status == hook.TenantDeleting, t.ID != key.TenantID && !key.Platform():
		return t.ID, noTenantAt("body.tenant")
	case t.ID != key.TenantID && c.named != "":
		return t.ID, hook.Unprocessable("body.tenant", "is another tenant than the one that the header Grapnel-Tenant names")
	}
	return t.ID, nil
}

// consolePath is where the application is served.
const consolePath = "/console/"

// portalURL returns the link that opens the application in a session. The token is in the fragment, so that it gets into no
// log and no Referer header. Without a public URL the link leads to where this request was sent.
func (a *API) portalURL(ctx context.Context, token hook.Secret) string {
	base := strings.TrimSuffix(a.Config.PublicURL, "/")
	if c := callerOf(ctx); base == "" && c.host != "" {
		base = "http://" + c.host
		if c.secure {
			base = "https://" + c.host
		}
	}
	return base + consolePath + "#token=" + token.Reveal()
}

func (a *API) listPortalSessions(ctx context.Context, in *listPortalSessionsInput) (*listPortalSessionsOutput, error) {
	if err := checkGrants(ctx); err != nil {
		return nil, err
	}
	page, err := in.page(listSessions)
	if err != nil {
		return nil, err
	}
	found, last, err := a.Store.Sessions(ctx, listed(ctx), page)
	if err != nil {
		return nil, err
	}
	bytes := func(p *hook.PortalSession) int { return entryBytes + len(p.Name) }
	views, next := pages[hook.PortalSession, PortalSession]{kind: listSessions, bytes: bytes, view: viewSession}.answerUpTo(ctx, found, last)
	return &listPortalSessionsOutput{Body: PortalSessionList{views, next}}, nil
}

func (a *API) revokePortalSession(ctx context.Context, in *IDPath) (*empty, error) {
	if err := checkGrants(ctx); err != nil {
		return nil, err
	}
	id, err := hook.ParsePortalSessionID(in.ID)
	if err != nil {
		return nil, hook.NotFound("portal session")
	}
	return nil, a.Store.RevokeSession(ctx, tenant(ctx), id)
}

func (a *API) revokePortalSessions(ctx context.Context, _ *struct{}) (*revokePortalSessionsOutput, error) {
	if err := checkGrants(ctx); err != nil {
		return nil, err
	}
	n, err := a.Store.RevokeSessions(ctx, tenant(ctx))
	if err != nil {
		return nil, err
	}
	return &revokePortalSessionsOutput{Body: RevokedPortalSessions{n}}, nil
}
