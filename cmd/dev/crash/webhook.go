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

// Webhook is a subscription of the run, and how its endpoint behaves.
type Webhook struct {
	// Name is the last part of its URL's path.
	Name    string
	Profile hook.Profile
	// Events are the types, patterns or topics it subscribes to, Cache the cache of a
	// Momento webhook.
	Events []string
	Cache  string
	// ID is the product's, as a UUID; Secret is what it signs with.
	ID, Secret string
	// Flaky is the share of events, in hundredths, whose first one or two requests are
	// answered with 500; Poison the share that never gets anything else; Hang the share
	// whose first request is not answered; Slow the share that is answered a while after
	// it has come, so that there is always something under way.
	Flaky, Poison, Hang, Slow uint32
	// Gone says that it answers 410 to everything.
	Gone bool
}

// timeoutSeconds is how long standard webhooks wait: it bounds how long before a
// kill a request may have come of which nothing was recorded.
const timeoutSeconds = 3

// webhooks are the run's, with those that only some damages need.
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
	return withSecrets(list)
}

// withSecrets gives those a secret that are not given one.
func withSecrets(list []*Webhook) []*Webhook {
	for _, w := range list {
		if w.Profile != hook.ProfileMomento {
			sum := sha256.Sum256([]byte(w.Name))
			w.Secret = "whsec_" + base64.StdEncoding.EncodeToString(sum[:])
		}
	}
	return list
}

// endedWebhooks are those of EndWebhooks, by its stages. One answers 410, the others
// slowly, so that much still waits when they are ended.
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

// hasNeighbours reports whether others go on publishing that are probed.
func hasNeighbours(d Damage) bool {
	return slices.Contains([]Damage{CutTemporal, Freeze, LockRows, EndWebhooks}, d)
}

// Matches reports whether the webhook is to get what was published (spec 1): prefixes
// are for standard webhooks alone, messages for Momento's.
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

// subscribe makes the event types and the webhooks, at their URLs below base.
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
