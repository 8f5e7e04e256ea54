package api

import (
	"context"
	"net/http"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

// MomentoWebhook is a webhook in Momento's form, without its secret.
type MomentoWebhook struct {
	ID          MomentoWebhookID   `json:"id" doc:"What names it."`
	Destination MomentoDestination `json:"destination" doc:"Where messages go."`
	TopicName   string             `json:"topicName" doc:"The topic of the cache whose messages the webhook gets." example:"mo-nuts"`
}

// MomentoWebhookID names a webhook within the account.
type MomentoWebhookID struct {
	CacheName   string `json:"cacheName" doc:"The cache to which the webhook belongs." example:"chat"`
	WebhookName string `json:"webhookName" doc:"The webhook's name within the cache." example:"translator"`
}

// MomentoDestination is where a webhook's messages go.
type MomentoDestination struct {
	PostURL string `json:"postUrl" doc:"The URL to which messages are sent by POST." example:"https://yourapp.com/webhook"`
}

type momentoWebhookList struct {
	Webhooks   []MomentoWebhook `json:"webhooks" doc:"Webhooks of the cache, newest first; an empty list for an unknown cache."`
	NextCursor *string          `json:"nextCursor,omitempty" doc:"Cursor of the remaining entries; absent if there are none." example:"AXcBmrHU6q9ekr-Xz5m6pYVu"`
}

type listMomentoWebhooksOutput struct {
	Body momentoWebhookList
}

type putMomentoWebhookRequest struct {
	_           struct{}                      `json:"-" additionalProperties:"true"`
	Destination *putMomentoWebhookDestination `json:"destination" nullable:"false" doc:"Where messages go."`
	TopicName   string                        `json:"topicName" doc:"The topic of the cache whose messages it gets: 1 to 128 characters. It need not exist yet." example:"mo-nuts"`
}

type putMomentoWebhookDestination struct {
	_       struct{} `json:"-" additionalProperties:"true"`
	PostURL string   `json:"postUrl" maxLength:"1024" doc:"The URL to which messages are sent by POST: absolute, http or https, without user name." example:"https://yourapp.com/webhook"`
}

type putMomentoWebhookInput struct {
	WebhookPath
	RawBody []byte `contentType:"application/json"`
}

type momentoSecretString struct {
	SecretString string `json:"secretString" doc:"Signs every request; its UTF-8 bytes are the key of the HMAC." example:"dGhpcyBpcyBhIHNlY3JldCBmb3IgZXhhbXBsZXM="`
}

type putMomentoWebhookOutput struct {
	Body momentoSecretString
}

func (a *API) registerMomento() {
	manage, read := []hook.Scope{hook.ScopeWebhooks}, []hook.Scope{hook.ScopeRead, hook.ScopeWebhooks}
	register(a, operation{
		id: "put-momento-webhook", portal: portalClosed, method: http.MethodPut, path: "/caches/{cacheName}/webhooks/{webhookName}", tag: tagMomento, scopes: manage,
		summary: "Put a topic webhook", raw: true, errors: []int{http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType},
		description: "Subscribes a URL to a topic of the cache. If there is a webhook of that name, its topic and destination change and its secret stays. A webhook that was disabled because its endpoint failed becomes active again.",
		body:        a.jsonBody(putMomentoWebhookRequest{}, "PutMomentoWebhookRequest", true),
	}, a.putMomentoWebhook)
	register(a, operation{
		id: "list-momento-webhooks", portal: portalClosed, method: http.MethodGet, path: "/caches/{cacheName}/webhooks", tag: tagMomento, scopes: read, large: true,
		summary: "List a cache's webhooks", description: "All webhooks, without their secrets. A list over 4 MiB is split; nextCursor leads to the rest.",
	}, a.listMomentoWebhooks)
	register(a, operation{
		id: "delete-momento-webhook", portal: portalClosed, method: http.MethodDelete, path: "/caches/{cacheName}/webhooks/{webhookName}", tag: tagMomento,
		status: http.StatusNoContent, scopes: manage, errors: []int{http.StatusNotFound},
		summary: "Delete a topic webhook", description: "Nothing more is sent, and the secret is deleted. A new webhook of the same name gets another secret.",
	}, a.deleteMomentoWebhook)
	a.registerMomentoSecrets()
	a.registerMomentoDeliveries()
}

// A put is repeated if another process creates or deletes the webhook between the look-up and the write.
const putTries = 5

func (a *API) putMomentoWebhook(ctx context.Context, in *putMomentoWebhookInput) (*putMomentoWebhookOutput, error) {
	w, err := a.momentoWebhook(ctx, in)
	if err == nil {
		err = checkCovered(ctx, &w)
	}
	if err != nil {
		return nil, err
	}
	for range putTries {
		var id hook.WebhookID
		var stored hook.Webhook
		if id, err = a.Store.WebhookNamed(ctx, w.TenantID, w.Cache, w.Name); err == nil {
			if _, err = a.Store.UpdateWebhook(ctx, w.TenantID, id, func(old *hook.Webhook) error {
				return a.replaceMomentoWebhook(ctx, old, &w)
			}); err == nil {
				stored, err = a.Store.WebhookForSecret(ctx, w.TenantID, id, anySecret) // the answer shows it
			}
		} else if hook.KindOf(err) == hook.KindNotFound {
			stored, err = a.Store.CreateWebhook(ctx, w)
		}
		if err == nil {
			return &putMomentoWebhookOutput{Body: momentoSecretString{stored.Secret.Reveal()}}, nil
		}
		if kind := hook.KindOf(err); kind != hook.KindConflict && kind != hook.KindNotFound {
			return nil, err
		}
	}
	return nil, &hook.Error{
		Kind: hook.KindUnavailable, Message: "the webhook is being created and deleted by others; try again", RetryAfter: time.Second, Err: err,
	}
}

// replaceMomentoWebhook gives a stored webhook the topic and the destination of w. It activates the webhook unless the
// client has deactivated it.
func (a *API) replaceMomentoWebhook(ctx context.Context, stored, w *hook.Webhook) error {
	before := *stored
	c := webhookChange{URL: &w.URL, Events: w.Events}
	if stored.DisabledReason != hook.ReasonByClient {
		c.Active = new(true)
	}
	wrong := append(c.Apply(stored), a.movedHeaders(stored, before.URL, headersByPatch("body.destination.postUrl"))...)
	if err := invalid(wrong); err != nil {
		return err
	}
	return checkRerouted(ctx, &before, stored)
}

// momentoWebhook returns the webhook that a request describes, with a new secret.
func (a *API) momentoWebhook(ctx context.Context, in *putMomentoWebhookInput) (hook.Webhook, error) {
	var b putMomentoWebhookRequest
	if err := readBody(in.RawBody, &b, ignoreUnknown); err != nil {
		return hook.Webhook{}, err
	}
	w := hook.Webhook{
		TenantID: tenant(ctx), Profile: hook.ProfileMomento, Events: []string{hook.TrimName(b.TopicName)},
		Secret: secrets.NewWebhookSecret(hook.ProfileMomento), Active: true,
	}
	urlAt := "body.destination"
	if b.Destination != nil {
		w.URL, urlAt = b.Destination.PostURL, "body.destination.postUrl"
	}
	var wrong []hook.Violation
	w.Cache, w.Name = in.names(&wrong)
	w.Normalize()
	err := a.checkWebhook(&w, "", wrong)
	return w, relocated(err, map[string]string{"body.url": urlAt, "body.events[0]": "body.topicName"})
}

type listMomentoWebhooksInput struct {
	CachePath
	WholePaging
}

func (a *API) listMomentoWebhooks(ctx context.Context, in *listMomentoWebhooksInput) (*listMomentoWebhooksOutput, error) {
	var wrong []hook.Violation
	cache := in.name(&wrong)
	if err := invalid(wrong); err != nil {
		return nil, err
	}
	webhooks, next, err := a.webhooksFrom(ctx, listMomento, hook.WebhookFilter{Profile: hook.ProfileMomento, Cache: cache}, &in.WholePaging)
	if err != nil {
		return nil, err
	}
	return &listMomentoWebhooksOutput{Body: momentoWebhookList{Webhooks: viewAll(webhooks, viewMomentoWebhook), NextCursor: next}}, nil
}

func viewMomentoWebhook(w *hook.Webhook) MomentoWebhook {
	return MomentoWebhook{ID: MomentoWebhookID{w.Cache, w.Name}, Destination: MomentoDestination{w.URL}, TopicName: w.Events[0]}
}

func (a *API) deleteMomentoWebhook(ctx context.Context, in *WebhookPath) (*empty, error) {
	id, err := a.webhookNamed(ctx, in)
	if err != nil {
		return nil, err
	}
	return nil, a.Store.DeleteWebhook(ctx, tenant(ctx), id)
}

// webhookNamed finds the caller's webhook of the names in a path.
func (a *API) webhookNamed(ctx context.Context, in *WebhookPath) (hook.WebhookID, error) {
	var wrong []hook.Violation
	cache, name := in.names(&wrong)
	if err := invalid(wrong); err != nil {
		return hook.WebhookID{}, err
	}
	return a.Store.WebhookNamed(ctx, tenant(ctx), cache, name)
}
