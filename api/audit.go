package api

import (
	"context"
	"net/http"
	"time"

	"grapnel/internal/hook"
)

type auditStore interface {
	// AuditLog returns a page of the audit log, and where the next page begins, nil at the end.
	AuditLog(ctx context.Context, f hook.AuditFilter, p hook.Page) (list []hook.AuditEntry, next *[16]byte, err error)
	// BeginRetry logs a retry by hand before its request is made; DropRetry takes that back if nothing was sent.
	BeginRetry(ctx context.Context, d hook.Delivery) (hook.AuditID, error)
	DropRetry(ctx context.Context, id hook.AuditID) error
}

// AuditEntry is a change that a client has made.
type AuditEntry struct {
	ID        string        `json:"id" doc:"The entry's id." example:"aud_01kab1s6rzfkqbzry2kztmfpx1"`
	TenantID  string        `json:"tenant_id" doc:"The account to which the change belongs." example:"ten_01kab1s6rzfkqbzry2kztmfpx1"`
	CreatedAt time.Time     `json:"created_at" doc:"When the change was made." example:"2026-01-15T12:00:00.123Z"`
	Actor     AuditActor    `json:"actor" doc:"The client that made it."`
	Address   string        `json:"source_address,omitempty" doc:"The IP address that the request came from: the proxy's, if there is one. Absent for commands on the server." example:"203.0.113.7"`
	Action    string        `json:"action" doc:"What was done, as target.verb." example:"webhook.updated"`
	Target    AuditTarget   `json:"target" doc:"What was changed. It may be gone."`
	Changes   []AuditChange `json:"changes" doc:"The members that differ afterwards. Empty if the action changes none, such as reading a secret."`
}

// AuditActor is a client that has made a change.
type AuditActor struct {
	Type string `json:"type" doc:"What kind of client: api_key, portal_session, cli (a command on the server) or anonymous (--auth=none). There may be more kinds later." example:"api_key"`
	ID   string `json:"id" doc:"The id of the API key or portal session, or the operating system's user." example:"key_01kab1s6rzfkqbzry2kztmfpx1"`
	Name string `json:"name" doc:"The name of the API key or portal session at the time, or the operating system's user." example:"Backend"`
}

// AuditTarget is a thing that was changed.
type AuditTarget struct {
	Type string `json:"type" doc:"What kind of thing, such as webhook, api_key, portal_session, event_type, delivery, replay or tenant." example:"webhook"`
	ID   string `json:"id,omitempty" doc:"Its id, or the name of an event type. Absent for what has none." example:"hook_01kab1s6rzfkqbzry2kztmfpx1"`
	Name string `json:"name,omitempty" doc:"Its name or description at the time." example:"Billing system"`
}

// AuditChange is a member that was changed.
type AuditChange struct {
	Member string  `json:"member" doc:"The member's name; headers.NAME for a custom header." example:"url"`
	Before anyJSON `json:"before,omitempty" doc:"The value before; absent if there was none. A value over 16 KiB is shown as its size and SHA-256." example:"\"https://yourapp.com/old\""`
	After  anyJSON `json:"after,omitempty" doc:"The value afterwards; absent if there is none." example:"\"https://yourapp.com/webhook\""`
	Secret bool    `json:"secret,omitempty" doc:"Whether the values are secret: the log says only that they changed." example:"false"`
}

func viewAuditEntry(e *hook.AuditEntry) AuditEntry {
	v := AuditEntry{
		ID: e.ID.String(), TenantID: e.TenantID.String(), CreatedAt: e.At(), Address: e.Actor.Address, Action: string(e.Action),
		Actor:   AuditActor{Type: string(e.Actor.Kind), ID: e.Actor.ID, Name: e.Actor.Name},
		Target:  AuditTarget{Type: string(e.Target.Kind), ID: e.Target.ID, Name: e.Target.Name},
		Changes: make([]AuditChange, 0, len(e.Changes)),
	}
	for _, c := range e.Changes {
		v.Changes = append(v.Changes, AuditChange{Member: c.Member, Before: anyJSON(c.Before), After: anyJSON(c.After), Secret: c.Secret})
	}
	return v
}

func auditBytes(e *hook.AuditEntry) int {
	n := entryBytes + len(e.Actor.Name) + len(e.Target.Name)
	for _, c := range e.Changes {
		n += len(c.Member) + len(c.Before) + len(c.After) + 40
	}
	return n
}

type listAuditLogInput struct {
	Paging
	Actor  string    `query:"actor" maxLength:"256" doc:"Only changes by this actor: the id of an API key or portal session, or an operating system's user."`
	Action string    `query:"action" maxLength:"128" doc:"Only this action, or those that a pattern like webhook.* matches."`
	Target string    `query:"target" maxLength:"256" doc:"Only changes of the thing with this id, or of the event type with this name."`
	Since  time.Time `query:"since" doc:"Only changes from this time on."`
	Until  time.Time `query:"until" doc:"Only changes before this time."`
}

type auditLog struct {
	Entries    []AuditEntry `json:"entries" doc:"This page of entries, newest first."`
	NextCursor *string      `json:"next_cursor" nullable:"true" doc:"Cursor of the next page; null on the last page. A page of a filtered list ends after a bounded search, so it may be short or empty although more pages follow." example:"AWEBmrHU6q9ekr-Xz5m6pYVu"`
}

type listAuditLogOutput struct {
	Body auditLog
}

func (a *API) registerAudit() {
	register(a, operation{
		id: "list-audit-log", portal: portalClosed, method: http.MethodGet, path: "/v1/audit-log", tag: tagStandard, large: true, allTenants: true,
		summary: "List the audit log",
		description: "Every change that was made through the API or by a command on the server, newest first: with its actor, its " +
			"target, and the changed members before and after. Secrets and the values of custom headers are never shown. Publishing is " +
			"no change. Entries are kept for 400 days (--audit-retention). With Grapnel-Tenant: *, those of all tenants.",
	}, a.listAuditLog)
}

func (a *API) listAuditLog(ctx context.Context, in *listAuditLogInput) (*listAuditLogOutput, error) {
	if err := checkWholeAccount(ctx); err != nil {
		return nil, err
	}
	page, err := in.page(listAudit)
	if err != nil {
		return nil, err
	}
	if err := typeFilter("action", in.Action); err != nil {
		return nil, err
	}
	if err := textFilter("actor", in.Actor); err != nil {
		return nil, err
	}
	if err := textFilter("target", in.Target); err != nil {
		return nil, err
	}
	if err := checkPeriod(in.Since, in.Until); err != nil {
		return nil, err
	}
	page.Since, page.Until = in.Since, in.Until
	found, last, err := a.Store.AuditLog(ctx, hook.AuditFilter{Of: listed(ctx), Actor: in.Actor, Target: in.Target, Action: in.Action}, page)
	if err != nil {
		return nil, err
	}
	if shown, _, cut := fit(found, auditBytes); cut {
		id := [16]byte(shown[len(shown)-1].ID)
		found, last = shown, &id
	}
	views, next := pages[hook.AuditEntry, AuditEntry]{kind: listAudit, bytes: auditBytes, view: viewAuditEntry}.answerUpTo(ctx, found, last)
	return &listAuditLogOutput{Body: auditLog{views, next}}, nil
}

// checkWholeAccount refuses a key that is limited to topics: what it asks for is about the whole account.
func checkWholeAccount(ctx context.Context) error {
	if key := principal(ctx); key.Limited() {
		return &hook.Error{Kind: hook.KindForbidden, Message: "the API key is limited to topics, and this is about the whole account"}
	}
	return nil
}
