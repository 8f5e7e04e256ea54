package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/payload"
	"grapnel/internal/secrets"
)

// CommendaWebhook is a webhook in Commenda's form, without its key.
type CommendaWebhook struct {
	ID         string    `json:"id" format:"uuid" doc:"The webhook's id in paths and in event objects." example:"019a961c-9b1f-7cee-bfe3-c29ff547dba1"`
	APIVersion string    `json:"api_version" enum:"v1.0" doc:"The version of the webhook's event objects." example:"v1.0"`
	Name       string    `json:"name" doc:"The purpose, in the client's words; empty if none was given." example:"Registrations"`
	Topics     []string  `json:"topics" doc:"The topics subscribed to." example:"[\"REGISTRATIONS.EXISTING.VALIDATION.SUCCEEDED\"]"`
	URL        string    `json:"url" doc:"The URL to which event objects are sent by POST." example:"https://yourapp.com/webhook"`
	Status     string    `json:"status" enum:"ENABLED,DISABLED" doc:"Whether events are delivered." example:"ENABLED"`
	CreatedAt  time.Time `json:"created_at" doc:"When it was registered." example:"2026-01-15T12:00:00Z"`
}

// CommendaWebhookWithKey is a Commenda webhook with its key, which only the answer to registering shows.
type CommendaWebhookWithKey struct {
	CommendaWebhook
	Key string `json:"key" doc:"Signs every request; its UTF-8 bytes are the key of the HMAC." example:"dGhpcyBpcyBhIHNlY3JldCBmb3IgZXhhbXBsZXM="`
}

// The statuses of Commenda's webhooks.
const (
	commendaEnabled  = "ENABLED"
	commendaDisabled = "DISABLED"
)

func viewCommendaWebhook(w *hook.Webhook) CommendaWebhook {
	v := CommendaWebhook{
		ID: w.ID.UUID(), APIVersion: payload.CommendaVersion, Name: w.Description, Topics: w.Events, URL: w.URL,
		Status: commendaDisabled, CreatedAt: seconds(w.CreatedAt),
	}
	if w.Active {
		v.Status = commendaEnabled
	}
	return v
}

type createCommendaWebhookRequest struct {
	_          struct{} `json:"-" additionalProperties:"true"`
	URL        string   `json:"url" maxLength:"2048" doc:"The URL to which event objects are sent by POST: absolute, without user name, and https unless the operator allows http." example:"https://yourapp.com/webhook"`
	Topics     []string `json:"topics,omitempty" maxItems:"100" doc:"Topics, free-form strings; * has no meaning of its own. At least one, here or in topic." example:"[\"REGISTRATIONS.EXISTING.VALIDATION.SUCCEEDED\"]"`
	Topic      *string  `json:"topic,omitempty" doc:"A single topic. It is added to topics." example:"REGISTRATIONS.EXISTING.VALIDATION.SUCCEEDED"`
	Key        *string  `json:"key,omitempty" minLength:"8" maxLength:"256" doc:"Signs every request. Default: base64 of 32 random bytes." example:"dGhpcyBpcyBhIHNlY3JldCBmb3IgZXhhbXBsZXM="`
	Name       *string  `json:"name,omitempty" maxLength:"1000" doc:"What it is for." example:"Registrations"`
	Status     *string  `json:"status,omitempty" enum:"ENABLED,DISABLED" doc:"Default: ENABLED." example:"ENABLED"`
	APIVersion *string  `json:"api_version,omitempty" enum:"v1.0" doc:"Default: v1.0." example:"v1.0"`
}

// Bodies of this surface are read by readBody. Unknown members may have any value (spec 6), and Huma would decode them.
type createCommendaWebhookInput struct {
	// Hidden, because a parameter more would change the signature of generated clients.
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"512" hidden:"true"`
	RawBody        []byte `contentType:"application/json"`
}

type commendaWebhookCreated struct {
	Data    CommendaWebhookWithKey `json:"data" doc:"The webhook with its key."`
	Message string                 `json:"message" doc:"What has been done." example:"Successfully registered webhook."`
}

type createCommendaWebhookOutput struct {
	Body commendaWebhookCreated
}

type commendaWebhookList struct {
	Webhooks   []CommendaWebhook `json:"webhooks" doc:"The account's Commenda webhooks, newest first."`
	NextCursor *string           `json:"next_cursor,omitempty" doc:"Cursor of the remaining entries; absent if there are none." example:"AXcBmrHU6q9ekr-Xz5m6pYVu"`
}

type commendaWebhooksFetched struct {
	Data    commendaWebhookList `json:"data" doc:"The webhooks."`
	Message string              `json:"message" doc:"What has been done." example:"Successfully fetched webhooks."`
}

type listWholeInput struct{ WholePaging }

type listCommendaWebhooksOutput struct {
	Body commendaWebhooksFetched
}

type commendaWebhookFetched struct {
	Data    CommendaWebhook `json:"data" doc:"The webhook."`
	Message string          `json:"message" doc:"What has been done." example:"Successfully fetched webhook."`
}

type getCommendaWebhookOutput struct {
	Body commendaWebhookFetched
}

type updateCommendaWebhookRequest struct {
	_          struct{} `json:"-" additionalProperties:"true"`
	URL        *string  `json:"url,omitempty" maxLength:"2048" doc:"The URL to which event objects are sent by POST." example:"https://yourapp.com/webhook"`
	Topics     []string `json:"topics,omitempty" maxItems:"100" doc:"Replaces all topics subscribed to." example:"[\"REGISTRATIONS.EXISTING.VALIDATION.SUCCEEDED\"]"`
	Topic      *string  `json:"topic,omitempty" doc:"Replaces all topics with this one. If topics is given too, this one is added to them." example:"REGISTRATIONS.EXISTING.VALIDATION.SUCCEEDED"`
	Key        *string  `json:"key,omitempty" minLength:"8" maxLength:"256" doc:"The new key. It is valid at once." example:"dGhpcyBpcyBhIHNlY3JldCBmb3IgZXhhbXBsZXM="`
	Name       *string  `json:"name,omitempty" maxLength:"1000" doc:"What it is for." example:"Registrations"`
	Status     *string  `json:"status,omitempty" enum:"ENABLED,DISABLED" doc:"DISABLED cancels the pending deliveries." example:"DISABLED"`
	APIVersion *string  `json:"api_version,omitempty" enum:"v1.0" doc:"The version of the webhook's event objects." example:"v1.0"`
}

type updateCommendaWebhookInput struct {
	IDPath
	RawBody []byte `contentType:"application/json"`
}

type commendaWebhookUpdated struct {
	Data    CommendaWebhook `json:"data" doc:"The webhook as it is now."`
	Message string          `json:"message" doc:"What has been done." example:"Successfully updated webhook."`
}

type updateCommendaWebhookOutput struct {
	Body commendaWebhookUpdated
}

func (a *API) registerCommenda() {
	manage, read := []hook.Scope{hook.ScopeWebhooks}, []hook.Scope{hook.ScopeRead, hook.ScopeWebhooks}
	register(a, operation{
		id: "create-commenda-webhook", portal: portalClosed, method: http.MethodPost, path: "/webhooks", tag: tagCommenda, scopes: manage,
		summary: "Register a Commenda webhook", description: "Subscribes a URL to topics. Only this answer shows the key. With an Idempotency-Key, requests repeated within 24 hours make one webhook and get the same answer.",
		raw: true, errors: []int{http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType},
		body: a.jsonBody(createCommendaWebhookRequest{}, "CreateCommendaWebhookRequest", true),
	}, a.createCommendaWebhook)
	register(a, operation{
		id: "list-commenda-webhooks", portal: portalClosed, method: http.MethodGet, path: "/webhooks", tag: tagCommenda, scopes: read, large: true,
		summary: "List Commenda webhooks", description: "All keys of the account, newest first, without their texts. A list over 4 MiB is split; next_cursor leads to the rest.",
	}, a.listCommendaWebhooks)
	register(a, operation{
		id: "get-commenda-webhook", portal: portalClosed, method: http.MethodGet, path: "/webhooks/{id}", tag: tagCommenda, scopes: read,
		summary: "Get a Commenda webhook", description: "Without its key.", errors: []int{http.StatusNotFound},
	}, a.getCommendaWebhook)
	register(a, operation{
		id: "update-commenda-webhook", portal: portalClosed, method: http.MethodPost, path: "/webhooks/{id}", tag: tagCommenda, scopes: manage,
		summary: "Update a Commenda webhook", raw: true, repeatable: true,
		description: "Changes the given members and keeps the others. Retries use the new url and key. DISABLED cancels the pending deliveries.",
		errors:      []int{http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType},
		body:        a.jsonBody(updateCommendaWebhookRequest{}, "UpdateCommendaWebhookRequest", true),
	}, a.updateCommendaWebhook)
	register(a, operation{
		id: "delete-commenda-webhook", portal: portalClosed, method: http.MethodDelete, path: "/webhooks/{id}", tag: tagCommenda, status: http.StatusNoContent, scopes: manage,
		summary: "Delete a Commenda webhook", description: "Its pending deliveries end as canceled.", errors: []int{http.StatusNotFound},
	}, a.deleteCommendaWebhook)
	a.registerCommendaTestSend()
	a.registerCommendaEvents()
	a.registerCommendaDeliveries()
}

func (a *API) createCommendaWebhook(ctx context.Context, in *createCommendaWebhookInput) (*createCommendaWebhookOutput, error) {
	var b createCommendaWebhookRequest
	if err := readBody(in.RawBody, &b, ignoreUnknown); err != nil {
		return nil, err
	}
	answer, err := createOnce(ctx, a, creation[CommendaWebhookWithKey]{
		operation: "create-commenda-webhook", header: in.IdempotencyKey, request: &b,
		webhook: func() (hook.Webhook, error) { return a.newCommendaWebhook(ctx, &b) },
		view: func(w *hook.Webhook) CommendaWebhookWithKey {
			return CommendaWebhookWithKey{viewCommendaWebhook(w), w.Secret.Reveal()}
		},
	})
	if err != nil {
		return nil, err
	}
	return &createCommendaWebhookOutput{Body: commendaWebhookCreated{Data: answer, Message: "Successfully registered webhook."}}, nil
}

// newCommendaWebhook returns the webhook that a request describes.
func (a *API) newCommendaWebhook(ctx context.Context, b *createCommendaWebhookRequest) (hook.Webhook, error) {
	topics, places := joinEvents("body.topics", b.Topics, "body.topic", b.Topic)
	w := hook.Webhook{TenantID: tenant(ctx), Profile: hook.ProfileCommenda, Active: true}
	if b.Key == nil {
		w.Secret = secrets.NewWebhookSecret(w.Profile)
	}
	c := webhookChange{URL: &b.URL, Events: topics, Active: commendaActive(b.Status), Description: b.Name, Secret: b.Key}
	wrong := append(checkCommendaEnums(b.Status, b.APIVersion), c.Apply(&w)...)
	if err := inCommendaWords(a.checkWebhook(&w, "", wrong), places); err != nil {
		return w, err
	}
	return w, checkCovered(ctx, &w)
}

func (a *API) listCommendaWebhooks(ctx context.Context, in *listWholeInput) (*listCommendaWebhooksOutput, error) {
	webhooks, next, err := a.webhooksFrom(ctx, listCommenda, hook.WebhookFilter{Profile: hook.ProfileCommenda}, &in.WholePaging)
	if err != nil {
		return nil, err
	}
	out := &listCommendaWebhooksOutput{}
	out.Body.Message = "Successfully fetched webhooks."
	out.Body.Data.Webhooks, out.Body.Data.NextCursor = viewAll(webhooks, viewCommendaWebhook), next
	return out, nil
}

func (a *API) getCommendaWebhook(ctx context.Context, in *IDPath) (*getCommendaWebhookOutput, error) {
	w, err := a.commendaWebhook(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &getCommendaWebhookOutput{Body: commendaWebhookFetched{viewCommendaWebhook(&w), "Successfully fetched webhook."}}, nil
}

// commendaWebhook reads the caller's Commenda webhook of that id.
func (a *API) commendaWebhook(ctx context.Context, text string) (hook.Webhook, error) {
	w, err := a.webhook(ctx, text)
	if err != nil {
		return w, err
	}
	return w, ofCommenda(&w)
}

// ofCommenda returns not found for webhooks of other profiles, which this surface does not have.
func ofCommenda(w *hook.Webhook) error {
	if w.Profile != hook.ProfileCommenda {
		return hook.NotFound("webhook")
	}
	return nil
}

func (a *API) updateCommendaWebhook(ctx context.Context, in *updateCommendaWebhookInput) (*updateCommendaWebhookOutput, error) {
	id, err := webhookID(in.ID)
	if err != nil {
		return nil, err
	}
	var b updateCommendaWebhookRequest
	if err := readBody(in.RawBody, &b, ignoreUnknown); err != nil {
		return nil, err
	}
	topics, places := joinEvents("body.topics", b.Topics, "body.topic", b.Topic)
	c := webhookChange{URL: b.URL, Active: commendaActive(b.Status), Description: b.Name, Secret: b.Key}
	if b.Topics != nil || b.Topic != nil {
		c.Events = append([]string{}, topics...)
	}
	w, err := a.Store.UpdateWebhook(ctx, tenant(ctx), id, func(w *hook.Webhook) error {
		if err := ofCommenda(w); err != nil {
			return err
		}
		return inCommendaWords(a.update(ctx, w, &c, checkCommendaEnums(b.Status, b.APIVersion), headersByPatch("body.url")), places)
	})
	if err != nil {
		return nil, err
	}
	return &updateCommendaWebhookOutput{Body: commendaWebhookUpdated{viewCommendaWebhook(&w), "Successfully updated webhook."}}, nil
}

func (a *API) deleteCommendaWebhook(ctx context.Context, in *IDPath) (*empty, error) {
	w, err := a.commendaWebhook(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return nil, a.Store.DeleteWebhook(ctx, w.TenantID, w.ID)
}

// commendaActive returns whether a status asks for an active webhook; nil if there is no status.
func commendaActive(status *string) *bool {
	if status == nil {
		return nil
	}
	return new(*status == commendaEnabled)
}

// checkCommendaEnums refuses values of the enumerated members that are not in the enumeration.
func checkCommendaEnums(status, version *string) (wrong []hook.Violation) {
	check := func(location string, given *string, known ...string) {
		if given != nil && !slices.Contains(known, *given) {
			wrong = append(wrong, hook.Violation{Location: location, Message: "must be one of " + strings.Join(known, ", "), Value: *given})
		}
	}
	check("body.status", status, commendaEnabled, commendaDisabled)
	check("body.api_version", version, payload.CommendaVersion)
	return wrong
}

// inCommendaWords translates the locations in an error to this surface's names.
func inCommendaWords(err error, places eventPlaces) error {
	return relocated(places.relocate(err), map[string]string{
		"body.events": "body.topics", "body.secret": "body.key", "body.description": "body.name",
	})
}
