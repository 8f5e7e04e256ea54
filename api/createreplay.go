package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"grapnel/internal/hook"
)

// A replay over several webhooks (A6).

const (
	// shownWebhooks bounds the webhooks in an answer about a replay.
	shownWebhooks = hook.MaxReplayIDs
	// mostWrongIDs bounds how many wrong ids of a request are named.
	mostWrongIDs = 100
	// maxReplayRequest leaves room for the largest number of ids.
	maxReplayRequest = 128 << 10
)

type createReplayRequest struct {
	WebhookIDs  []string  `json:"webhook_ids,omitempty" minItems:"1" maxItems:"1000" doc:"The webhooks that get the events. Default: all of the account. Inactive ones are left out; paused ones get their deliveries when the pause ends." example:"[\"hook_01kab1s6rzfkqbzry2kztmfpx1\"]"`
	Since       time.Time `json:"since,omitempty" doc:"Events from this time on. Required without delivery_ids." example:"2026-01-15T00:00:00Z"`
	Until       time.Time `json:"until,omitempty" doc:"Events before this time. Default: now." example:"2026-01-16T00:00:00Z"`
	Status      string    `json:"status,omitempty" enum:"failed,missing,all" doc:"What is sent to each webhook; required without delivery_ids. failed: events that had deliveries to it and no successful one. missing: events that match its subscriptions and never had a delivery. all: all events that match; with status_class or error_class, all that had a delivery of that class. Events with an attempt to come are left out." example:"failed"`
	StatusClass string    `json:"status_class,omitempty" pattern:"^[2-5]xx$" doc:"Only deliveries whose last HTTP status is of this class, as in the list of deliveries: 2xx, 3xx, 4xx or 5xx." example:"5xx"`
	ErrorClass  string    `json:"error_class,omitempty" enum:"status,redirect,timeout,refused,reset,unreachable,dns,tls,blocked,too_large,protocol,other" doc:"Only deliveries whose last attempt failed in this way, as in the list of deliveries." example:"timeout"`
	EventTypes  []string  `json:"event_types,omitempty" maxItems:"100" doc:"Only events of these types; also prefix.* and *. A type that is not in the catalogue is refused, unless one of the webhooks subscribes to it by name." example:"[\"user.created\"]"`
	Reference   string    `json:"reference,omitempty" maxLength:"128" doc:"Only events with this reference." example:"order_4711"`
	DeliveryIDs []string  `json:"delivery_ids,omitempty" minItems:"1" maxItems:"1000" doc:"Deliveries chosen one by one, whatever their status; without any other condition. Each event is sent to its webhook again, unless an attempt is to come." example:"[\"del_01kab1s6rzfkqbzry2kztmfpx1\"]"`
	DryRun      *bool     `json:"dry_run,omitempty" doc:"true only counts, for each webhook, and sends nothing." example:"false"`
	Rate        *int      `json:"rate,omitempty" minimum:"1" maximum:"1000" doc:"Deliveries per second at most, of all webhooks together. Default: 100. Each webhook's own limit holds too." example:"100"`
}

type createReplayInput struct {
	Body createReplayRequest
}

// ReplayedWebhook is the state of one of the webhooks of a replay over several.
type ReplayedWebhook struct {
	WebhookID string `json:"webhook_id" doc:"The webhook." example:"hook_01kab1s6rzfkqbzry2kztmfpx1"`
	ReplayCounts
	Behind  bool   `json:"behind,omitempty" doc:"Whether it does not take deliveries as fast as the others. It is then replayed apart from them, and does not delay them." example:"false"`
	LeftOut string `json:"left_out,omitempty" enum:"deleted,inactive,at_most_once" doc:"Why it gets nothing; absent if it may get something. deleted, inactive: the webhook. at_most_once: a Momento message is never sent twice, so only missing ones can be replayed." example:"inactive"`
}

// ReplayCounts is the part of ReplayProgress that a webhook has too. It is exported for the same reason as IDPath.
type ReplayCounts struct {
	Succeeded   int `json:"succeeded" doc:"Deliveries with an answer of 2xx." example:"1100"`
	Failed      int `json:"failed" doc:"Deliveries that have failed for good." example:"20"`
	Canceled    int `json:"canceled" doc:"Deliveries canceled with the replay, or because the webhook was deleted or disabled." example:"0"`
	Outstanding int `json:"outstanding" doc:"Deliveries with an attempt to come." example:"80"`
}

// EstimatedWebhook is what one webhook would get from a replay over several.
type EstimatedWebhook struct {
	WebhookID string `json:"webhook_id" doc:"The webhook." example:"hook_01kab1s6rzfkqbzry2kztmfpx1"`
	Events    int    `json:"events" doc:"How many events it would be sent, of those counted." example:"12"`
	LeftOut   string `json:"left_out,omitempty" enum:"deleted,inactive,at_most_once" doc:"Why it would get nothing; absent if it may get something." example:"inactive"`
}

func (a *API) registerCreateReplay() {
	register(a, operation{
		id: "create-replay", portal: portalRetry, method: http.MethodPost, path: "/v1/replays", tag: tagStandard, scopes: []hook.Scope{hook.ScopeWebhooks},
		status: http.StatusAccepted, summary: "Send events of the past to several webhooks", errors: []int{http.StatusConflict}, maxBody: maxReplayRequest,
		description: "Begins a replay over the given webhooks, or all: each event gets a new delivery with all attempts for each webhook, oldest event " +
			"first. With status failed, status_class or error_class it sends what the list of deliveries shows for the same filters, each event once " +
			"for each webhook. Only one replay of a webhook is under way at a time, apart from those with delivery_ids. With dry_run it only counts, " +
			"for some seconds and up to 100,000. webhooks in the answer says which are left out, and why.",
		bodies: map[int]any{http.StatusOK: ReplayEstimate{}, http.StatusAccepted: Replay{}},
	}, a.createReplay)
}

func (a *API) createReplay(ctx context.Context, in *createReplayInput) (*replayWebhookOutput, error) {
	r, err := a.readManyReplay(ctx, &in.Body)
	if err != nil {
		return nil, err
	}
	left, err := a.leftOut(ctx, &r)
	if err != nil {
		return nil, err
	}
	if in.Body.DryRun != nil && *in.Body.DryRun {
		n, err := a.estimateMany(ctx, r, left)
		return &replayWebhookOutput{Status: http.StatusOK, Body: n}, err
	}
	if r, err = a.Store.CreateReplay(ctx, r); err != nil {
		return nil, err
	}
	a.Dispatcher.Replay(r.ID)
	view := a.viewReplay(ctx, &r)
	view.Webhooks, view.WebhooksOmitted = viewReplayed(left, len(left) > shownWebhooks)
	return &replayWebhookOutput{Status: http.StatusAccepted, Body: view}, nil
}

// leftOut returns the webhooks of a replay that is about to begin, and why it leaves them out. It is an error if it leaves
// all out.
func (a *API) leftOut(ctx context.Context, r *hook.Replay) ([]hook.ReplayWebhook, error) {
	found, err := a.Store.WebhooksToReplay(ctx, r.TenantID, r.WebhookIDs)
	if err != nil {
		return nil, err
	}
	var list []hook.ReplayWebhook
	exist, some := map[hook.WebhookID]bool{}, false
	for i := range found {
		w := &found[i]
		exist[w.ID] = true
		reason := r.LeavesOut(w)
		some = some || reason == ""
		list = append(list, hook.ReplayWebhook{WebhookID: w.ID, LeftOut: reason})
	}
	for _, id := range r.WebhookIDs {
		if !exist[id] {
			list = append(list, hook.ReplayWebhook{WebhookID: id, LeftOut: hook.LeftOutDeleted})
		}
	}
	if some {
		return list, nil
	}
	text := "the account has no webhook"
	if len(list) > 0 {
		text = fmt.Sprintf("none of the webhooks can get anything: %s is left out (%s)", list[0].WebhookID, list[0].LeftOut)
	}
	return nil, &hook.Error{Kind: hook.KindPrecondition, Message: text}
}

// estimateMany counts what a replay would send to each webhook.
func (a *API) estimateMany(ctx context.Context, r hook.Replay, webhooks []hook.ReplayWebhook) (ReplayEstimate, error) {
	n, counted, err := a.count(ctx, r)
	n.WebhooksOmitted = len(webhooks) > shownWebhooks
	// Those that would get something come first.
	slices.SortStableFunc(webhooks, func(x, y hook.ReplayWebhook) int { return min(counted[y.WebhookID], 1) - min(counted[x.WebhookID], 1) })
	for _, w := range webhooks[:min(len(webhooks), shownWebhooks)] {
		n.Webhooks = append(n.Webhooks, EstimatedWebhook{WebhookID: w.WebhookID.String(), Events: counted[w.WebhookID], LeftOut: string(w.LeftOut)})
	}
	return n, err
}

// viewReplayed returns the first webhooks of a replay as answers show them.
func viewReplayed(list []hook.ReplayWebhook, more bool) (views []ReplayedWebhook, omitted bool) {
	for _, w := range list[:min(len(list), shownWebhooks)] {
		views = append(views, ReplayedWebhook{
			WebhookID: w.WebhookID.String(), Behind: w.Behind, LeftOut: string(w.LeftOut),
			ReplayCounts: ReplayCounts{Succeeded: w.Succeeded, Failed: w.Failed, Canceled: w.Canceled, Outstanding: w.Outstanding},
		})
	}
	return views, more
}

// readManyReplay returns the replay that a request describes.
func (a *API) readManyReplay(ctx context.Context, b *createReplayRequest) (hook.Replay, error) {
	r := hook.Replay{
		TenantID: tenant(ctx), Many: true, Status: hook.ReplayStatus(b.Status), Class: hook.ErrorClass(b.ErrorClass), EventTypes: b.EventTypes,
		Reference: b.Reference, Since: b.Since.Truncate(time.Millisecond), Rate: hook.DefaultReplayRate,
	}
	r.Until = replayedUntil(b.Until)
	if b.Rate != nil {
		r.Rate = *b.Rate
	}
	if b.StatusClass != "" {
		r.StatusClass = int(b.StatusClass[0] - '0')
	}
	if b.DeliveryIDs != nil {
		return r, a.readDeliveryIDs(ctx, b, &r)
	}
	if err := checkReplayConditions(b, &r); err != nil {
		return r, err
	}
	if err := a.readWebhookIDs(ctx, b.WebhookIDs, &r); err != nil {
		return r, err
	}
	return r, a.checkManyTypes(ctx, &r)
}

// checkReplayConditions checks what needs no look at the store.
func checkReplayConditions(b *createReplayRequest, r *hook.Replay) error {
	search := r.Search()
	problem := hook.ReferenceProblem(b.Reference)
	switch {
	case b.Since.IsZero():
		return hook.Unprocessable("body.since", "is required, unless delivery_ids is given")
	case b.Status == "":
		return hook.Unprocessable("body.status", "is required, unless delivery_ids is given")
	case !r.Since.Before(r.Until):
		return hook.Unprocessable("body.since", "must be before until, and in the past")
	case b.Reference != "" && problem != "":
		return hook.Unprocessable("body.reference", "%s", problem)
	case r.Status == hook.ReplayMissing && r.StatusClass > 0:
		return hook.Unprocessable("body.status_class", "must be left out with status missing: there was no delivery")
	case r.Status == hook.ReplayMissing && r.Class != hook.ClassNone:
		return hook.Unprocessable("body.error_class", "must be left out with status missing: there was no delivery")
	case r.Status != hook.ReplayMissing && len(search.Wanted()) == 0:
		return hook.Unprocessable("body.status_class", "no delivery meets it together with the other conditions")
	}
	return nil
}

// readWebhookIDs reads the webhooks that a request names. It refuses those that the account does not have.
func (a *API) readWebhookIDs(ctx context.Context, texts []string, r *hook.Replay) error {
	if texts == nil {
		return nil
	}
	ids, wrong := parseAll(texts, "body.webhook_ids", hook.ParseWebhookID)
	found, err := a.Store.WebhooksToReplay(ctx, r.TenantID, ids)
	if err != nil {
		return err
	}
	exist := map[hook.WebhookID]bool{}
	for i := range found {
		exist[found[i].ID] = true
	}
	for i, text := range texts {
		if id, err := hook.ParseWebhookID(text); err == nil && !exist[id] {
			wrong = append(wrong, wrongID("body.webhook_ids", i, "is not the id of a webhook of the account"))
		}
	}
	r.WebhookIDs = ids
	return wrongIDs(wrong)
}

// readDeliveryIDs reads the deliveries that a request names. It refuses those that the account does not have.
func (a *API) readDeliveryIDs(ctx context.Context, b *createReplayRequest, r *hook.Replay) error {
	for _, other := range []struct {
		name  string
		given bool
	}{
		{"webhook_ids", b.WebhookIDs != nil},
		{"since", !b.Since.IsZero()},
		{"until", !b.Until.IsZero()},
		{"status", b.Status != ""},
		{"status_class", b.StatusClass != ""},
		{"error_class", b.ErrorClass != ""},
		{"event_types", b.EventTypes != nil},
		{"reference", b.Reference != ""},
	} {
		if other.given {
			return hook.Unprocessable("body."+other.name, "must be left out with delivery_ids, which choose alone")
		}
	}
	ids, wrong := parseAll(b.DeliveryIDs, "body.delivery_ids", hook.ParseDeliveryID)
	var found []hook.Delivery
	if len(ids) > 0 {
		var err error
		search := hook.DeliverySearch{IDs: ids, May: readable(ctx)}
		if found, _, err = a.Store.FindDeliveries(ctx, hook.OneTenant(r.TenantID), search, hook.Page{Limit: len(ids)}); err != nil {
			return err
		}
	}
	of := make(map[hook.DeliveryID]*hook.Delivery, len(found))
	for i := range found {
		of[found[i].ID] = &found[i]
		if w := found[i].WebhookID; !slices.Contains(r.WebhookIDs, w) {
			r.WebhookIDs = append(r.WebhookIDs, w)
		}
	}
	for i, text := range b.DeliveryIDs {
		id, err := hook.ParseDeliveryID(text)
		switch d := of[id]; {
		case err != nil:
		case d == nil:
			wrong = append(wrong, wrongID("body.delivery_ids", i, "is not the id of a delivery of the account"))
		case d.Test:
			wrong = append(wrong, wrongID("body.delivery_ids", i, "is a test, which is not replayed"))
		}
	}
	if err := wrongIDs(wrong); err != nil {
		return err
	}
	// The list is newest first.
	r.DeliveryIDs, r.Status, r.Since = ids, hook.ReplayAll, found[len(found)-1].EventID.Time()
	return nil
}

// parseAll reads the ids of a request, without repeated ones, and returns what is wrong with the others.
func parseAll[T comparable](texts []string, location string, parse func(string) (T, error)) (ids []T, wrong []hook.Violation) {
	ids = []T{}
	seen := map[T]bool{}
	for i, text := range texts {
		id, err := parse(text)
		if err != nil {
			wrong = append(wrong, wrongID(location, i, err.Error()))
		} else if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids, wrong
}

func wrongID(location string, i int, text string) hook.Violation {
	return hook.Violation{Location: fmt.Sprintf("%s[%d]", location, i), Message: text}
}

// wrongIDs returns the error of a request with wrong ids; nil for none.
func wrongIDs(wrong []hook.Violation) error {
	if len(wrong) == 0 {
		return nil
	}
	return &hook.Error{Kind: hook.KindUnprocessable, Message: "validation failed", Violations: wrong[:min(len(wrong), mostWrongIDs)]}
}

// checkManyTypes refuses event types that no event of the webhooks can have, as checkReplayedTypes does for one.
func (a *API) checkManyTypes(ctx context.Context, r *hook.Replay) error {
	if len(r.EventTypes) == 0 {
		return nil
	}
	webhooks, err := a.Store.WebhooksToReplay(ctx, r.TenantID, r.WebhookIDs)
	if err != nil {
		return err
	}
	// A name that is right for one of them is right.
	failure := a.checkReplayedTypes(ctx, &hook.Webhook{Profile: hook.ProfileStandard, Events: subscribed(webhooks)}, r.EventTypes)
	for i := range webhooks {
		if failure == nil || hook.KindOf(failure) != hook.KindUnprocessable {
			break
		}
		if webhooks[i].Profile != hook.ProfileStandard {
			failure = a.checkReplayedTypes(ctx, &webhooks[i], r.EventTypes)
			break // topics are free-form: the others have the same answer
		}
	}
	return failure
}

// subscribed returns all patterns to which the webhooks subscribe.
func subscribed(webhooks []hook.Webhook) (patterns []string) {
	for i := range webhooks {
		patterns = append(patterns, webhooks[i].Events...)
	}
	return patterns
}
