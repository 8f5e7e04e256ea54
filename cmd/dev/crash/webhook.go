package crash

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"grapnel/internal/clip"
	"grapnel/internal/hook"
)

// Webhook is a subscription of the run, with the behaviour of its endpoint.
type Webhook struct {
	// Name is the last part of the URL's path.
	Name    string
	Profile hook.Profile
	// Events are the subscribed types, patterns or topics; Cache is the cache of a Momento webhook.
	Events []string
	Cache  string
	// ID is the id that the product gave it, as a UUID; Secret is the signing secret.
	ID, Secret string
	// The shares of events, in hundredths, by the endpoint's behaviour. Flaky answers the first one or two requests
	// with 500. Poison answers every request with 500. Hang does not answer the first request. Slow answers after a
	// delay, so that requests are always in progress.
	Flaky, Poison, Hang, Slow uint32
	// Gone makes the endpoint answer every request with 410.
	Gone bool
}

// timeoutSeconds is the timeout of standard webhooks. It bounds how long before a kill an unrecorded request may have
// arrived.
const timeoutSeconds = 3

// webhooks returns the webhooks of a run, including those that only some damages need.
func webhooks(d Damage) []*Webhook {
	list := []*Webhook{
		{Name: "orders", Profile: hook.ProfileStandard, Events: []string{typeCreated, typePaid}, Slow: 15},
		{Name: "everything", Profile: hook.ProfileStandard, Events: []string{"crash.*"}, Flaky: 10, Poison: 1},
		{Name: "users", Profile: hook.ProfileStandard, Events: []string{typeUser}, Hang: 4},
		{Name: "validations", Profile: hook.ProfileCommenda, Events: []string{topicA, topicB}, Slow: 30},
		{Name: "payments", Profile: hook.ProfileCommenda, Events: []string{topicA, typePaid}, Flaky: 8},
		{Name: "chat-1", Profile: hook.ProfileMomento, Cache: cache, Events: []string{chatter}, Slow: 40},
		{Name: "chat-2", Profile: hook.ProfileMomento, Cache: cache, Events: []string{chatter}, Flaky: 5},
		{Name: "alarm", Profile: hook.ProfileMomento, Cache: cache, Events: []string{alarms}, Hang: 2, Slow: 20},
	}
	kinds := kindsOf(d)
	if slices.ContainsFunc(kinds, hasNeighbours) {
		list = append(list, &Webhook{Name: "neighbour", Profile: hook.ProfileStandard, Events: []string{typeNeighbour}})
	}
	if slices.Contains(kinds, FillMemory) {
		list = append(list, &Webhook{Name: "large", Profile: hook.ProfileStandard, Events: []string{typeLarge}, Slow: 25})
	}
	if slices.Contains(kinds, StallOwner) {
		list = append(list, &Webhook{Name: owned, Profile: hook.ProfileStandard, Events: []string{typeOwned}, Slow: 100})
	}
	return withSecrets(list)
}

// owned is the name of the webhook with the events of a process that will stand still.
const owned = "owned"

// withSecrets gives a secret to the webhooks that the product gives none.
func withSecrets(list []*Webhook) []*Webhook {
	for _, w := range list {
		if w.Profile != hook.ProfileMomento {
			sum := sha256.Sum256([]byte(w.Name))
			w.Secret = "whsec_" + base64.StdEncoding.EncodeToString(sum[:])
		}
	}
	return list
}

// endedWebhooks returns the webhooks of EndWebhooks, one for each stage. One answers 410, the others answer slowly,
// so that many deliveries are still deferred when they end.
func endedWebhooks(d Damage) []*Webhook {
	if !slices.Contains(kindsOf(d), EndWebhooks) {
		return nil
	}
	list := make([]*Webhook, 0, endStages)
	for stage := range endStages {
		name := []string{EndGone: "gone", EndDeleted: "deleted", EndDisabled: "disabled"}[stage]
		list = append(list, &Webhook{Name: name, Profile: hook.ProfileStandard, Events: []string{typeBacklog + name}, Slow: 100, Gone: stage == EndGone})
	}
	return withSecrets(list)
}

// hasNeighbours reports whether neighbours publish probes during the damage.
func hasNeighbours(d Damage) bool {
	return slices.Contains([]Damage{CutTemporal, Freeze, LockRows, EndWebhooks, StallOwner}, d)
}

// Matches reports whether the webhook is to receive the event (spec 1). Only standard webhooks have prefixes, and
// only Momento webhooks get messages.
func (w *Webhook) Matches(eventType, cache string) bool {
	if w.Cache != cache {
		return false
	}
	return slices.ContainsFunc(w.Events, func(pattern string) bool {
		if pattern == eventType {
			return true
		}
		prefix, wild := strings.CutSuffix(pattern, "*")
		return w.Profile == hook.ProfileStandard && wild && strings.HasPrefix(eventType, prefix)
	})
}

// subscribe creates the event types and the webhooks, with URLs below base.
func subscribe(ctx context.Context, b *Balancer, base string, list []*Webhook) error {
	types := map[string]bool{typeCreated: true, typePaid: true, typeUser: true}
	for _, w := range list {
		for _, pattern := range w.Events {
			if w.Profile == hook.ProfileStandard && !strings.Contains(pattern, "*") {
				types[pattern] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(types)) {
		if err := call(ctx, b, http.MethodPut, "/v1/event-types/"+name, map[string]any{}, nil); err != nil {
			return err
		}
	}
	for _, w := range list {
		if err := w.create(ctx, b, base+"/"+w.Name); err != nil {
			return err
		}
	}
	return findIDs(ctx, b, base, list)
}

func (w *Webhook) create(ctx context.Context, b *Balancer, url string) error {
	switch w.Profile {
	case hook.ProfileStandard:
		return call(ctx, b, http.MethodPost, "/v1/webhooks", map[string]any{
			"url": url, "events": w.Events, "secret": w.Secret, "timeout_seconds": timeoutSeconds,
		}, nil)
	case hook.ProfileCommenda:
		return call(ctx, b, http.MethodPost, "/webhooks", map[string]any{"url": url, "topics": w.Events, "key": w.Secret}, nil)
	case hook.ProfileMomento:
		var answer struct{ SecretString string }
		err := call(ctx, b, http.MethodPut, "/caches/"+w.Cache+"/webhooks/"+w.Name, map[string]any{
			"destination": map[string]any{"postUrl": url}, "topicName": w.Events[0],
		}, &answer)
		w.Secret = answer.SecretString
		return err
	}
	return fmt.Errorf("webhook %s: profile %q", w.Name, w.Profile)
}

// findIDs reads the webhooks' ids from the list of all profiles (S2).
func findIDs(ctx context.Context, b *Balancer, base string, list []*Webhook) error {
	var answer struct{ Webhooks []struct{ ID, URL string } }
	if err := call(ctx, b, http.MethodGet, "/v1/webhooks?limit=100", nil, &answer); err != nil {
		return err
	}
	for _, w := range list {
		for _, found := range answer.Webhooks {
			if found.URL != base+"/"+w.Name {
				continue
			}
			id, err := hook.ParseWebhookID(found.ID)
			if err != nil {
				return err
			}
			w.ID = id.UUID()
		}
		if w.ID == "" {
			return fmt.Errorf("webhook %s is not in the list of webhooks", w.Name)
		}
	}
	return nil
}

// call makes a request that must succeed.
func call(ctx context.Context, b *Balancer, method, path string, body, into any) error {
	r := request{method: method, path: path}
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r.body, r.contentType = text, "application/json"
	}
	status, answer, err := b.Send(ctx, r)
	if err != nil || status/100 != 2 {
		return fmt.Errorf("%s %s: HTTP %d %s: %w", method, path, status, clip.Text(string(answer), shownAnswer), err)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}
