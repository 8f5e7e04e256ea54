package api

import (
	"context"
	"crypto/hmac"
	"net/http"
	"slices"

	"grapnel/internal/diagnose"
	"grapnel/internal/hook"
	"grapnel/internal/payload"
	"grapnel/internal/signing"
)

// diagnosisCase collects what is known about a delivery: its attempts as they were sent, and the secrets of its
// webhook.
func (a *API) diagnosisCase(ctx context.Context, d *hook.Delivery) (diagnose.Case, error) {
	job, err := a.Store.Job(ctx, d.ID)
	if err == nil {
		err = job.Err // the secrets can't be read now
	}
	if err != nil {
		return diagnose.Case{}, err
	}
	attempts, err := a.Store.Attempts(ctx, d.ID)
	if err != nil {
		return diagnose.Case{}, err
	}
	c := diagnose.Case{Profile: profileSent(&job, attempts)}
	if c.Profile == "" {
		return c, &hook.Error{Kind: hook.KindPrecondition, Message: "no attempt of the delivery is logged, so there is nothing to compare with; try again when one has ended"}
	}
	if err := a.loadPayload(ctx, &job); err != nil {
		return c, err
	}
	if job.Webhook != nil {
		c.Secrets = append(c.Secrets, diagnose.Secret{Value: job.Webhook.Secret})
		for _, p := range job.Webhook.Previous {
			c.Secrets = append(c.Secrets, diagnose.Secret{Value: p.Secret, Kind: diagnose.Previous, Until: p.Until})
		}
	}
	keys, err := a.Store.SigningKeys(ctx, d.TenantID)
	if err != nil {
		return c, err
	}
	for _, k := range keys {
		c.Public = append(c.Public, diagnose.Public{Key: k.Public, Until: k.ExpiresAt})
	}
	c.Attempts = sentAttempts(&c, &job, attempts)
	return c, nil
}

// mostAttemptsDiagnosed bounds the attempts with which a request is compared, the last ones. Only retries by hand can
// make more.
const mostAttemptsDiagnosed = 50

// sentAttempts returns what the attempts sent.
func sentAttempts(c *diagnose.Case, job *hook.Job, attempts []hook.Attempt) (list []diagnose.Sent) {
	attempts = slices.DeleteFunc(attempts, func(at hook.Attempt) bool { return signedAs(at.RequestHeaders) == "" })
	attempts = attempts[max(len(attempts)-mostAttemptsDiagnosed, 0):]
	var body []byte
	for i := range attempts {
		at := &attempts[i]
		// Only the momento profile's bodies differ from attempt to attempt.
		if i == 0 || c.Profile == hook.ProfileMomento {
			body = sentBody(c, job, at)
		}
		list = append(list, diagnose.Sent{Number: at.Number, Header: at.RequestHeaders, Body: body})
	}
	return list
}

// profileSent returns the profile of the requests that were sent; empty if none is logged.
func profileSent(job *hook.Job, attempts []hook.Attempt) hook.Profile {
	for i := range attempts {
		if p := signedAs(attempts[i].RequestHeaders); p != "" {
			if job.Webhook != nil {
				return job.Webhook.Profile
			}
			return p
		}
	}
	return ""
}

// signedAs returns the profile of a request by its signature; empty if it has none.
func signedAs(h http.Header) hook.Profile {
	for name := range h {
		switch http.CanonicalHeaderKey(name) {
		case "X-Webhook-Signature":
			return hook.ProfileStandard
		case http.CanonicalHeaderKey(signing.MomentoHeader):
			return hook.ProfileMomento
		case http.CanonicalHeaderKey(signing.CommendaHeader):
			return hook.ProfileCommenda
		}
	}
	return ""
}

// loadPayload completes the data of a job's event. If the event is gone, its id becomes zero.
func (a *API) loadPayload(ctx context.Context, job *hook.Job) error {
	if job.PayloadSize == 0 {
		return nil
	}
	e, err := a.Store.Event(ctx, job.Delivery.TenantID, job.Event.ID)
	if hook.KindOf(err) == hook.KindNotFound {
		job.Event.ID = hook.EventID{}
		return nil
	}
	job.Event.Data = e.Data
	return err
}

// sentBody returns the body that an attempt sent; nil if it can't be rebuilt.
func sentBody(c *diagnose.Case, job *hook.Job, at *hook.Attempt) []byte {
	if job.Event.ID == (hook.EventID{}) {
		return nil
	}
	logged := ""
	for name, values := range at.RequestHeaders {
		if http.CanonicalHeaderKey(name) == http.CanonicalHeaderKey(signing.MomentoHeader) && len(values) > 0 {
			logged = values[0]
		}
	}
	signed := func(body []byte) bool {
		return slices.ContainsFunc(c.Secrets, func(s diagnose.Secret) bool {
			return hmac.Equal([]byte(signing.HexSHA3(s.Value.Reveal(), body)), []byte(logged))
		})
	}
	return payload.Rebuild(c.Profile, &job.Event, job.Delivery.WebhookID, at.StartedAt, signed)
}

// Bounds of the other webhooks whose secrets are tried. With each, the body is hashed a few times.
const (
	mostOtherSecrets  = 1000
	leastOtherSecrets = 20
	otherSecretsBytes = 8 << 20
	othersPage        = 100
)

// otherSecrets returns the secrets of the tenant's other webhooks, the newest ones.
func (a *API) otherSecrets(ctx context.Context, not hook.WebhookID, body int) (list []diagnose.Secret, err error) {
	most := min(max(otherSecretsBytes/(body+1), leastOtherSecrets), mostOtherSecrets)
	page := hook.Page{Limit: othersPage}
	for more := true; more && len(list) < most; {
		var webhooks []hook.Webhook
		webhooks, more, err = a.Store.Webhooks(ctx, tenant(ctx), hook.WebhookFilter{}, page)
		if err != nil {
			return nil, err
		}
		for i := range webhooks {
			w := &webhooks[i]
			if w.ID != not && w.Secret != "" {
				list = append(list, diagnose.Secret{Value: w.Secret, Kind: diagnose.Other, Webhook: w.ID})
			}
			page.Before = (*[16]byte)(&w.ID)
		}
	}
	return list, nil
}
