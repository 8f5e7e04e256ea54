package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"grapnel/internal/hook"
)

type webhookStore interface {
	CreateWebhook(ctx context.Context, w hook.Webhook) (hook.Webhook, error)
	// CreateWebhookOnce is CreateWebhook, unless the request key already has an answer, which it then returns. answer
	// makes the answer for a new webhook and must do no I/O.
	CreateWebhookOnce(ctx context.Context, w hook.Webhook, o hook.RequestKey, answer func(hook.Webhook) ([]byte, error)) ([]byte, error)
	// KeptAnswer returns the answer that is stored under a request key; not found if there is none.
	KeptAnswer(ctx context.Context, o hook.RequestKey) ([]byte, error)
	Webhook(ctx context.Context, tenant hook.TenantID, id hook.WebhookID) (hook.Webhook, error)
	// WebhookForSecret reads a webhook whose secret the answer shows, and logs that, unless allow returns an error.
	WebhookForSecret(ctx context.Context, tenant hook.TenantID, id hook.WebhookID, allow func(*hook.Webhook) error) (hook.Webhook, error)
	// WebhookNamed finds the id of a Momento webhook.
	WebhookNamed(ctx context.Context, tenant hook.TenantID, cache, name string) (hook.WebhookID, error)
	Webhooks(ctx context.Context, tenant hook.TenantID, f hook.WebhookFilter, p hook.Page) ([]hook.Webhook, bool, error)
	// AllWebhooks lists the webhooks of all tenants, and returns where the next page begins.
	AllWebhooks(ctx context.Context, f hook.WebhookFilter, p hook.Page) ([]hook.Webhook, *[16]byte, error)
	// UpdateWebhook applies change to the webhook and stores the result. change runs within the transaction and must do
	// no I/O: it would wait for a second connection while it holds the first, and might never get one.
	UpdateWebhook(ctx context.Context, tenant hook.TenantID, id hook.WebhookID, change func(*hook.Webhook) error) (hook.Webhook, error)
	DeleteWebhook(ctx context.Context, tenant hook.TenantID, id hook.WebhookID) error
}

// Webhook is a webhook as every key with the scope read may see it.
type Webhook struct {
	ID             string            `json:"id" doc:"The webhook's id in paths." example:"hook_01kab1s6rzfkqbzry2kztmfpx1"`
	TenantID       string            `json:"tenant_id,omitempty" doc:"The tenant that it belongs to. Only in lists over all tenants." example:"ten_01kab1s6rzfkqbzry2kztmfpx1"`
	URL            string            `json:"url" doc:"The URL to which events are sent by POST." example:"https://yourapp.com/webhook"`
	Events         []string          `json:"events" doc:"Event types subscribed to; also prefix.* and *." example:"[\"user.created\",\"user.updated\",\"project.created\"]"`
	Active         bool              `json:"active" doc:"Whether events are delivered." example:"true"`
	Paused         bool              `json:"paused" doc:"Whether deliveries wait. They are sent when it is false again." example:"false"`
	Profile        string            `json:"profile" enum:"standard,momento,commenda" doc:"Form of body and signature." example:"standard"`
	CacheName      string            `json:"cache_name,omitempty" doc:"The cache of a momento webhook, which gets the messages of the one topic in events." example:"chat"`
	WebhookName    string            `json:"webhook_name,omitempty" doc:"The name of a momento webhook within its cache." example:"translator"`
	Status         string            `json:"status" enum:"healthy,failing,failed,disabled" doc:"healthy: the last attempt succeeded or there was none. failing: it failed and will be repeated, or the endpoint is unavailable and deliveries wait for it. failed: a delivery failed for good; new events are still tried. disabled: nothing is sent, as it is not active, or paused, or the account is suspended." example:"healthy"`
	StatusReason   string            `json:"status_reason,omitempty" doc:"Why the status is not healthy." example:"gone"`
	Description    string            `json:"description,omitempty" doc:"The purpose, in the client's words." example:"Billing system"`
	Headers        map[string]string `json:"headers,omitempty" doc:"The custom headers, with *** for each value." example:"{\"X-Tenant\":\"***\"}"`
	Timeout        int               `json:"timeout_seconds" doc:"Bound on a whole attempt." example:"15"`
	RateLimit      int               `json:"rate_limit,omitempty" doc:"Largest number of requests per second." example:"10"`
	TraceContext   bool              `json:"trace_context,omitempty" doc:"Whether requests carry a traceparent header." example:"true"`
	MaxAttempts    int               `json:"max_attempts" doc:"Largest number of attempts of a delivery." example:"5"`
	Schemes        []string          `json:"signature_schemes,omitempty" enum:"v1,v1a" doc:"Standard Webhooks signatures that webhook-signature really carries; of the standard profile only. v1 needs a secret of whsec_ and base64." example:"[\"v1\"]"`
	Warnings       []Warning         `json:"warnings,omitempty" doc:"Values that are valid and probably meant differently. Only in the answers of create, update and rotate."`
	PublicKeysPath string            `json:"public_keys_path,omitempty" doc:"Path on this server of the public keys that verify v1a." example:"/.well-known/webhook-keys"`
	CreatedAt      time.Time         `json:"created_at" doc:"When it was created." example:"2026-01-15T12:00:00Z"`
	UpdatedAt      time.Time         `json:"updated_at" doc:"When it was last changed by a client, or disabled." example:"2026-01-15T12:00:00Z"`
}

// CreatedWebhook is a webhook with its secret, which only this answer and the secret operations show.
type CreatedWebhook struct {
	Webhook
	Secret string `json:"secret" doc:"Signs every request; its UTF-8 bytes are the key. *** for portal sessions without the capability secrets." example:"whsec_dGhpcyBpcyBhIHNlY3JldCBmb3IgZXhhbXBsZXM="`
}

func viewWebhook(w *hook.Webhook) Webhook {
	v := Webhook{
		ID: w.ID.String(), URL: w.URL, Events: w.Events, Active: w.Active, Paused: w.PausedAt != nil, Profile: string(w.Profile),
		CacheName: w.Cache, WebhookName: w.Name,
		Status: w.Status(), StatusReason: w.StatusReason(), Description: w.Description,
		Timeout: int(w.Timeout / time.Second), RateLimit: w.RateLimit, MaxAttempts: w.MaxAttempts, TraceContext: w.TraceContext,
		CreatedAt: seconds(w.CreatedAt), UpdatedAt: seconds(w.UpdatedAt),
	}
	if len(w.Headers) > 0 {
		v.Headers = make(map[string]string, len(w.Headers))
		for name, value := range w.Headers {
			v.Headers[name] = value.String()
		}
	}
	v.showSchemes(w)
	return v
}

// seconds returns a time as the published systems print it: in UTC and whole seconds.
func seconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

type createWebhookRequest struct {
	URL          string            `json:"url" maxLength:"2048" doc:"The URL to which events are sent by POST: absolute, http or https, without user name." example:"https://yourapp.com/webhook"`
	Events       []string          `json:"events" minItems:"1" maxItems:"100" doc:"Event types; also prefix.* and *." example:"[\"user.created\",\"user.updated\",\"project.created\"]"`
	Secret       *string           `json:"secret,omitempty" minLength:"8" maxLength:"256" doc:"Signs every request. Default: whsec_ and base64 of 32 random bytes, which Standard Webhooks libraries can use." example:"whsec_abc123..."`
	Active       *bool             `json:"active,omitempty" doc:"Default: true." example:"true"`
	Paused       *bool             `json:"paused,omitempty" doc:"true holds deliveries until it is false. Default: false." example:"false"`
	Description  *string           `json:"description,omitempty" maxLength:"1000" doc:"What it is for." example:"Billing system"`
	Headers      map[string]string `json:"headers,omitempty" doc:"Sent with every request, the names spelt as here (HTTP/2 has lower case alone). Hop-by-hop, signature and content headers are refused." example:"{\"X-Tenant\":\"acme\"}"`
	Timeout      *int              `json:"timeout_seconds,omitempty" minimum:"1" maximum:"30" doc:"Time-out of a whole attempt, in seconds. Default: 15 (commenda: 10)." example:"15"`
	RateLimit    *int              `json:"rate_limit,omitempty" minimum:"0" maximum:"10000" doc:"Largest number of requests per second; 0, the default, is no limit. Further deliveries wait their turn. Each worker process counts its own requests." example:"10"`
	TraceContext *bool             `json:"trace_context,omitempty" doc:"Whether requests carry a traceparent header (W3C Trace Context), so that your trace continues at the receiver. Only for standard webhooks, and only if this service is traced. Default: false." example:"true"`
	MaxAttempts  *int              `json:"max_attempts,omitempty" minimum:"1" maximum:"5" doc:"Largest number of attempts of a delivery. Default: 5." example:"5"`
	Schemes      []string          `json:"signature_schemes,omitempty" minItems:"1" enum:"v1,v1a" doc:"Standard Webhooks signatures that webhook-signature carries: v1 is HMAC-SHA-256 with the secret, where that is whsec_ and base64; v1a is Ed25519 with the account's key, verified by the public keys at /.well-known/webhook-keys. Of the standard profile only. Default: v1." example:"[\"v1\",\"v1a\"]"`
	Profile      *string           `json:"profile,omitempty" enum:"standard,commenda,momento" doc:"Form of body and signature. Default: standard. momento webhooks belong to a cache and are refused here." example:"standard"`
}

type createWebhookInput struct {
	// Hidden, because a parameter more would change the signature of generated clients.
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"512" hidden:"true"`
	Body           createWebhookRequest
}

type createWebhookOutput struct {
	Body CreatedWebhook
}

type webhookOutput struct {
	Body Webhook
}

type listWebhooksInput struct {
	Paging
	Active  string `query:"active" enum:"true,false" doc:"Only active or only inactive ones."`
	Event   string `query:"event" maxLength:"128" doc:"Only webhooks that get events of this type."`
	Profile string `query:"profile" enum:"standard,momento,commenda" doc:"Only webhooks of this profile."`
}

type webhookList struct {
	Webhooks   []Webhook `json:"webhooks" doc:"This page of webhooks, newest first."`
	NextCursor *string   `json:"next_cursor" nullable:"true" doc:"Cursor of the next page; null on the last page." example:"AXcBmrHU6q9ekr-Xz5m6pYVu"`
}

type listWebhooksOutput struct {
	Body webhookList
}

type updateWebhookRequest struct {
	URL          *string            `json:"url,omitempty" maxLength:"2048" doc:"The URL to which events are sent by POST." example:"https://yourapp.com/webhook"`
	Events       []string           `json:"events,omitempty" maxItems:"100" doc:"Replaces all event types subscribed to." example:"[\"user.created\"]"`
	Secret       *string            `json:"secret,omitempty" minLength:"8" maxLength:"256" doc:"The new secret signs at once and alone: overlaps of earlier rotations end. To change the secret without a gap, rotate it." example:"whsec_abc123..."`
	Active       *bool              `json:"active,omitempty" doc:"false cancels the pending deliveries." example:"true"`
	Paused       *bool              `json:"paused,omitempty" doc:"true pauses the webhook: pending and new deliveries wait, and nothing is lost. When it is false again, they are sent, at the rate limit or slowly." example:"false"`
	Description  *string            `json:"description,omitempty" nullable:"true" maxLength:"1000" doc:"The purpose of the webhook. null removes the text." example:"Billing system"`
	Headers      *map[string]string `json:"headers,omitempty" nullable:"true" doc:"Replaces all custom headers. null removes them. Required if the webhook has custom headers and the url gets another scheme, host or port, because the values were given for the old one." example:"{\"X-Tenant\":\"acme\"}"`
	Timeout      *int               `json:"timeout_seconds,omitempty" minimum:"1" maximum:"30" doc:"Bound on a whole attempt." example:"15"`
	RateLimit    *int               `json:"rate_limit,omitempty" nullable:"true" minimum:"0" maximum:"10000" doc:"0 or null is no limit." example:"10"`
	TraceContext *bool              `json:"trace_context,omitempty" nullable:"true" doc:"Whether requests carry a traceparent header." example:"true"`
	MaxAttempts  *int               `json:"max_attempts,omitempty" minimum:"1" maximum:"5" doc:"Largest number of attempts of a delivery." example:"5"`
	Schemes      []string           `json:"signature_schemes,omitempty" minItems:"1" enum:"v1,v1a" doc:"Standard Webhooks signatures that webhook-signature carries; of the standard profile only." example:"[\"v1\",\"v1a\"]"`

	// nulls names the members that are null.
	nulls []string
}

type updateWebhookInput struct {
	IDPath
	Body updateWebhookRequest
}

type empty struct{}

func (a *API) registerWebhooks() {
	manage, read := []hook.Scope{hook.ScopeWebhooks}, []hook.Scope{hook.ScopeRead, hook.ScopeWebhooks}
	register(a, operation{
		id: "create-webhook", portal: portalManage, method: http.MethodPost, path: "/v1/webhooks", tag: tagStandard, status: http.StatusCreated, scopes: manage,
		summary: "Create a webhook", description: "Subscribes a URL to event types. Only this answer and the secret operations show the secret. With an Idempotency-Key, requests repeated within 24 hours make one webhook and get the same answer.",
		errors: []int{http.StatusConflict},
	}, a.createWebhook)
	register(a, operation{
		id: "list-webhooks", portal: portalView, method: http.MethodGet, path: "/v1/webhooks", tag: tagStandard, scopes: read, large: true, allTenants: true,
		summary: "List webhooks", description: "All webhooks of the account, of every profile, newest first. With Grapnel-Tenant: *, those of all tenants.",
	}, a.listWebhooks)
	register(a, operation{
		id: "get-webhook", portal: portalView, method: http.MethodGet, path: "/v1/webhooks/{id}", tag: tagStandard, scopes: read,
		summary: "Get a webhook", description: "The webhook with its status. The secret has an operation of its own.", errors: []int{http.StatusNotFound},
	}, a.getWebhook)
	register(a, operation{
		id: "update-webhook", portal: portalManage, method: http.MethodPatch, path: "/v1/webhooks/{id}", tag: tagStandard, scopes: manage,
		summary: "Update a webhook", errors: []int{http.StatusNotFound},
		description: "Changes the given members and keeps the others; null removes an optional member. Retries use the new url and secret. Deactivating cancels the pending deliveries. If the webhook has custom headers, a url with another scheme, host or port needs them given anew.",
	}, a.updateWebhook)
	register(a, operation{
		id: "delete-webhook", portal: portalManage, method: http.MethodDelete, path: "/v1/webhooks/{id}", tag: tagStandard, status: http.StatusNoContent, scopes: manage,
		summary: "Delete a webhook", description: "Its pending deliveries end as canceled.", errors: []int{http.StatusNotFound},
	}, a.deleteWebhook)
}

func (a *API) listWebhooks(ctx context.Context, in *listWebhooksInput) (*listWebhooksOutput, error) {
	page, err := in.page(listWebhooks)
	if err != nil {
		return nil, err
	}
	if err := typeFilter("event", in.Event); err != nil {
		return nil, err
	}
	filter := hook.WebhookFilter{Event: in.Event, Profile: hook.Profile(in.Profile)}
	if in.Active != "" {
		active := in.Active == "true"
		filter.Active = &active
	}
	if callerOf(ctx).all {
		return a.listAllWebhooks(ctx, filter, page)
	}
	webhooks, more, err := a.Store.Webhooks(ctx, tenant(ctx), filter, page)
	if err != nil {
		return nil, err
	}
	views, next := webhookPages().answer(ctx, webhooks, more)
	return &listWebhooksOutput{Body: webhookList{views, next}}, nil
}

// listAllWebhooks lists the webhooks of all tenants (K4).
func (a *API) listAllWebhooks(ctx context.Context, filter hook.WebhookFilter, page hook.Page) (*listWebhooksOutput, error) {
	webhooks, last, err := a.Store.AllWebhooks(ctx, filter, page)
	if err != nil {
		return nil, err
	}
	p := webhookPages()
	p.view = func(w *hook.Webhook) Webhook {
		v := viewWebhook(w)
		v.TenantID = w.TenantID.String()
		return v
	}
	views, next := p.answerFrom(ctx, webhooks, last)
	return &listWebhooksOutput{Body: webhookList{views, next}}, nil
}

func webhookPages() pages[hook.Webhook, Webhook] {
	return pages[hook.Webhook, Webhook]{
		kind: listWebhooks, id: func(w *hook.Webhook) [16]byte { return w.ID }, bytes: webhookBytes, view: viewWebhook,
	}
}

func (a *API) getWebhook(ctx context.Context, in *IDPath) (*webhookOutput, error) {
	w, err := a.webhook(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &webhookOutput{Body: viewWebhook(&w)}, nil
}

// webhook reads the caller's webhook of that id.
func (a *API) webhook(ctx context.Context, text string) (hook.Webhook, error) {
	id, err := webhookID(text)
	if err != nil {
		return hook.Webhook{}, err
	}
	return a.Store.Webhook(ctx, tenant(ctx), id)
}

// webhookID parses the id in a path. A text that can't be an id is not found either.
func webhookID(text string) (hook.WebhookID, error) {
	id, err := hook.ParseWebhookID(text)
	if err != nil {
		return id, hook.NotFound("webhook")
	}
	return id, nil
}

func (a *API) updateWebhook(ctx context.Context, in *updateWebhookInput) (*webhookOutput, error) {
	id, err := webhookID(in.ID)
	if err != nil {
		return nil, err
	}
	b := &in.Body
	if err := checkSecretChange(ctx, b.Secret); err != nil {
		return nil, err
	}
	events, places := joinEvents("body.events", b.Events, "", nil)
	found, err := a.checkNewEvents(ctx, id, events, places)
	if err != nil {
		return nil, err
	}
	w, err := a.Store.UpdateWebhook(ctx, tenant(ctx), id, func(w *hook.Webhook) error {
		w.Listed = found.listed
		return places.relocate(a.update(ctx, w, b.change(events), found.unknown, headersInRequest()))
	})
	if err != nil {
		return nil, err
	}
	return &webhookOutput{Body: warned(&w, found.unmatched...)}, nil
}

// change returns the change of a webhook that the request describes. events are its events without repetitions.
func (r *updateWebhookRequest) change(events []string) *webhookChange {
	c := &webhookChange{
		URL: r.URL, Active: r.Active, Paused: r.Paused, Description: r.Description, Secret: r.Secret, Headers: r.Headers,
		Timeout: r.Timeout, RateLimit: r.RateLimit, TraceContext: r.TraceContext, MaxAttempts: r.MaxAttempts, Schemes: r.Schemes,
		Nulls: r.nulls,
	}
	if r.Events != nil {
		c.Events = events
		if events == nil {
			c.Events = []string{}
		}
	}
	return c
}

func (a *API) deleteWebhook(ctx context.Context, in *IDPath) (*empty, error) {
	id, err := webhookID(in.ID)
	if err != nil {
		return nil, err
	}
	return nil, a.Store.DeleteWebhook(ctx, tenant(ctx), id)
}

// checkWebhook returns everything that is wrong with a webhook that is to be stored. unknown is what is wrong with the
// request besides. The destination is checked only if the URL differs from before: if the operator has forbidden a
// destination since, its webhooks can still be disabled. checkWebhook does no I/O.
func (a *API) checkWebhook(w *hook.Webhook, before string, unknown []hook.Violation) error {
	var violations []hook.Violation
	if err := w.Validate(); err != nil {
		var e *hook.Error
		if !errors.As(err, &e) {
			return err
		}
		violations = e.Violations
	}
	usable := w.URLProblem() == ""
	if usable {
		// The URL is stored and shown in the form in which it is requested.
		w.URL = a.Destinations.CanonicalURL(w.URL)
	}
	switch {
	case !usable, w.URL == before:
	case w.Profile == hook.ProfileCommenda && !a.Config.AllowHTTP && w.Plain():
		violations = append(violations, hook.Violation{Location: "body.url", Message: "must be https; --allow-http lets Commenda webhooks have http URLs"})
	default:
		if err := a.Destinations.CheckURL(w.URL); err != nil {
			violations = append(violations, hook.Violation{Location: "body.url", Message: err.Error()})
		} else if a.own.has(w.URL) {
			violations = append(violations, hook.Violation{Location: "body.url", Message: "is this service's own address, --public-url; --allow-own-url lets webhooks have it"})
		}
	}
	// A new secret has stricter bounds than a stored one. Each location is named once.
	violations = slices.DeleteFunc(violations, func(v hook.Violation) bool {
		return slices.ContainsFunc(unknown, func(u hook.Violation) bool { return u.Location == v.Location })
	})
	return invalid(append(violations, unknown...))
}
