package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"grapnel/internal/hook"
)

type replayStore interface {
	CreateReplay(ctx context.Context, r hook.Replay) (hook.Replay, error)
	Replay(ctx context.Context, tenant hook.TenantID, id hook.ReplayID) (hook.Replay, error)
	Replays(ctx context.Context, of hook.TenantFilter, webhook *hook.WebhookID, p hook.Page) ([]hook.Replay, *[16]byte, error)
	UpdateReplay(ctx context.Context, tenant hook.TenantID, id hook.ReplayID, change func(*hook.Replay) error) (hook.Replay, error)
	ReplayProgress(ctx context.Context, id hook.ReplayID) (hook.ReplayProgress, error)
	// ReplayWebhooks returns the state of the webhooks of a replay over several, at most so many.
	ReplayWebhooks(ctx context.Context, r *hook.Replay, most int) (list []hook.ReplayWebhook, more bool, err error)
	// WebhooksToReplay returns webhooks, the given ones or all, with what decides whether a replay may send to them.
	WebhooksToReplay(ctx context.Context, tenant hook.TenantID, ids []hook.WebhookID) ([]hook.Webhook, error)
	// CountReplay counts the events that a replay would send, up to most, or until ctx ends.
	CountReplay(ctx context.Context, r hook.Replay, most int) (hook.Estimate, error)
}

// Replay is the state of a replay.
type Replay struct {
	ID              string            `json:"id" doc:"The replay's id in paths, and the id of its workflow in the Temporal Web UI." example:"rpl_01kab1s6rzfkqbzry2kztmfpx1"`
	TenantID        string            `json:"tenant_id,omitempty" doc:"The tenant that it belongs to. Only in lists over all tenants." example:"ten_01kab1s6rzfkqbzry2kztmfpx1"`
	WebhookID       string            `json:"webhook_id" doc:"The webhook that gets the events; empty for a replay over several webhooks." example:"hook_01kab1s6rzfkqbzry2kztmfpx1"`
	WebhookIDs      []string          `json:"webhook_ids,omitempty" doc:"The webhooks of a replay over several; absent if it is over all." example:"[\"hook_01kab1s6rzfkqbzry2kztmfpx1\"]"`
	AllWebhooks     bool              `json:"all_webhooks,omitempty" doc:"Whether it is over all webhooks of the account that existed when it was begun." example:"false"`
	DeliveryIDs     []string          `json:"delivery_ids,omitempty" doc:"The deliveries that were chosen one by one." example:"[\"del_01kab1s6rzfkqbzry2kztmfpx1\"]"`
	Status          string            `json:"status" enum:"failed,missing,all" doc:"Which events it sends." example:"failed"`
	StatusClass     string            `json:"status_class,omitempty" doc:"Only deliveries whose last HTTP status is of this class." example:"5xx"`
	ErrorClass      string            `json:"error_class,omitempty" enum:"status,redirect,timeout,refused,reset,unreachable,dns,tls,blocked,too_large,protocol,other" doc:"Only deliveries whose last attempt failed in this way." example:"timeout"`
	EventTypes      []string          `json:"event_types,omitempty" doc:"Only events of these types." example:"[\"user.created\"]"`
	Reference       string            `json:"reference,omitempty" doc:"Only events with this reference." example:"order_4711"`
	Since           time.Time         `json:"since" doc:"Events from this time on." example:"2026-01-15T00:00:00Z"`
	Until           time.Time         `json:"until" doc:"Events before this time." example:"2026-01-16T00:00:00Z"`
	Rate            int               `json:"rate" doc:"Deliveries per second at most." example:"100"`
	State           string            `json:"state" enum:"running,paused,completed,canceled" doc:"completed: all of its deliveries have ended." example:"running"`
	Reason          string            `json:"reason,omitempty" doc:"Why the replay was canceled, if no client canceled it." example:"Webhook deleted"`
	Events          int               `json:"events" doc:"Events that got a delivery so far, counted for each of its webhooks. A dry run counts those that would get one." example:"1200"`
	Scanned         int               `json:"scanned" doc:"Events, or deliveries, examined so far, including those that the replay leaves out." example:"20000"`
	LookedTo        time.Time         `json:"looked_to" doc:"The time up to which events have been examined, between since and until; of several webhooks that of the one furthest behind." example:"2026-01-15T12:00:00Z"`
	Created         int               `json:"created" doc:"Deliveries made so far, one for each event and webhook." example:"1200"`
	Progress        *ReplayProgress   `json:"progress,omitempty" doc:"The results of its deliveries; absent in lists."`
	Webhooks        []ReplayedWebhook `json:"webhooks,omitempty" doc:"The results for each webhook of a replay over several, up to 1,000; absent in lists."`
	WebhooksOmitted bool              `json:"webhooks_omitted,omitempty" doc:"Whether it has more webhooks than are shown." example:"false"`
	CreatedAt       time.Time         `json:"created_at" doc:"When it was begun." example:"2026-01-16T08:00:00Z"`
	UpdatedAt       time.Time         `json:"updated_at" doc:"When it last went on." example:"2026-01-16T08:00:12Z"`
	EndedAt         *time.Time        `json:"ended_at,omitempty" doc:"When the replay was completed or canceled." example:"2026-01-16T08:03:00Z"`
	WorkflowID      string            `json:"workflow_id" doc:"Its workflow in Temporal." example:"rpl_01kab1s6rzfkqbzry2kztmfpx1"`
	Workflow        string            `json:"workflow_url,omitempty" doc:"The workflow in the Temporal Web UI." example:"http://127.0.0.1:8233/namespaces/default/workflows/rpl_01kab1s6rzfkqbzry2kztmfpx1"`
}

// ReplayProgress counts the deliveries of a replay by their state.
type ReplayProgress struct {
	Succeeded   int `json:"succeeded" doc:"With an answer of 2xx." example:"1100"`
	Failed      int `json:"failed" doc:"For good." example:"20"`
	Canceled    int `json:"canceled" doc:"Canceled with the replay, or because the webhook was deleted or disabled." example:"0"`
	Outstanding int `json:"outstanding" doc:"With an attempt to come." example:"80"`
}

// ReplayEstimate is the result of a dry run.
type ReplayEstimate struct {
	DryRun          bool               `json:"dry_run" doc:"Nothing was sent, and nothing will be sent." example:"true"`
	Events          int                `json:"events" doc:"How many events would be sent if the replay began now, counted for each of its webhooks." example:"1200"`
	Complete        bool               `json:"complete" doc:"Whether all events were counted. Otherwise there may be more: the time was over, an event is being stored, or an event of the last seconds has an attempt to come." example:"true"`
	Webhooks        []EstimatedWebhook `json:"webhooks,omitempty" doc:"What each webhook would get, of a replay over several, up to 1,000."`
	WebhooksOmitted bool               `json:"webhooks_omitted,omitempty" doc:"Whether the replay has more webhooks than are shown." example:"false"`
}

func (a *API) viewReplay(ctx context.Context, r *hook.Replay) Replay {
	v := Replay{
		ID: r.ID.String(), Status: string(r.Status), EventTypes: r.EventTypes,
		WebhookIDs: texts(r.WebhookIDs), AllWebhooks: r.Many && r.WebhookIDs == nil, DeliveryIDs: texts(r.DeliveryIDs),
		ErrorClass: string(r.Class), Reference: r.Reference,
		Since: r.Since.UTC(), Until: r.Until.UTC(), Rate: r.Rate, State: string(r.State), Reason: r.Reason, Events: r.Created, Scanned: r.Looked,
		LookedTo: r.Cursor.Time(), Created: r.Created, CreatedAt: seconds(r.CreatedAt), UpdatedAt: seconds(r.UpdatedAt),
		WorkflowID: r.ID.String(), Workflow: a.workflowURL(ctx, r.ID.String()),
	}
	if !r.Many {
		v.WebhookID = r.WebhookID.String()
	}
	if r.StatusClass > 0 {
		v.StatusClass = fmt.Sprintf("%dxx", r.StatusClass)
	}
	if r.EndedAt != nil {
		at := seconds(*r.EndedAt)
		v.EndedAt = &at
	}
	return v
}

// texts returns ids as answers show them.
func texts[T fmt.Stringer](ids []T) (list []string) {
	for _, id := range ids {
		list = append(list, id.String())
	}
	return list
}

type replayWebhookRequest struct {
	Since      time.Time `json:"since" doc:"Events from this time on." example:"2026-01-15T00:00:00Z"`
	Until      time.Time `json:"until,omitempty" doc:"Events before this time. Default: now." example:"2026-01-16T00:00:00Z"`
	Status     string    `json:"status" enum:"failed,missing,all" doc:"failed: events that had deliveries and no successful one. missing: events that match the webhook's subscriptions and never had a delivery, for example because they were published before the webhook was made. all: all events that match. Events with an attempt to come are left out." example:"failed"`
	EventTypes []string  `json:"event_types,omitempty" maxItems:"100" doc:"Only events of these types; also prefix.* and *. A type that is not in the catalogue is refused, unless the webhook subscribes to it by name." example:"[\"user.created\"]"`
	DryRun     *bool     `json:"dry_run,omitempty" doc:"true only counts the events and sends nothing." example:"false"`
	Rate       *int      `json:"rate,omitempty" minimum:"1" maximum:"1000" doc:"Deliveries per second at most. Default: 100. The webhook's own limit holds too." example:"100"`
}

type replayWebhookInput struct {
	IDPath
	Body replayWebhookRequest
}

type replayInput struct{ IDPath }

type replayOutput struct {
	Body Replay
}

// replayWebhookOutput has a Replay, or a ReplayEstimate for a dry run.
type replayWebhookOutput struct {
	Status int
	Body   any
}

type listReplaysInput struct {
	Paging
	WebhookID string `query:"webhook_id" doc:"Only replays of this webhook, also those over several with it." example:"hook_01kab1s6rzfkqbzry2kztmfpx1"`
}

type replayList struct {
	Replays    []Replay `json:"replays" doc:"This page of replays, newest first."`
	NextCursor *string  `json:"next_cursor" nullable:"true" doc:"Cursor of the next page; null on the last page." example:"AXIBmrHU6q9ekr-Xz5m6pYVu"`
}

type listReplaysOutput struct {
	Body replayList
}

type updateReplayRequest struct {
	Rate int `json:"rate" minimum:"1" maximum:"1000" doc:"Deliveries per second at most." example:"10"`
}

type updateReplayInput struct {
	IDPath
	Body updateReplayRequest
}

func (a *API) registerReplays() {
	manage, read := []hook.Scope{hook.ScopeWebhooks}, []hook.Scope{hook.ScopeRead, hook.ScopeWebhooks}
	one := []int{http.StatusNotFound, http.StatusConflict}
	register(a, operation{
		id: "replay-webhook", portal: portalRetry, method: http.MethodPost, path: "/v1/webhooks/{id}/replay", tag: tagStandard, scopes: manage,
		status: http.StatusAccepted, summary: "Send events of the past", errors: one,
		description: "Begins a replay: each event gets a new delivery with all attempts, oldest event first. The replay continues across restarts. A webhook has one replay at a time. With dry_run it only counts, for some seconds and up to 100,000 events. Momento messages are never sent twice, so only missing ones can be replayed.",
		bodies:      map[int]any{http.StatusOK: ReplayEstimate{}, http.StatusAccepted: Replay{}},
	}, a.replayWebhook)
	a.registerCreateReplay()
	register(a, operation{
		id: "list-replays", portal: portalView, method: http.MethodGet, path: "/v1/replays", tag: tagStandard, scopes: read, large: true, allTenants: true,
		summary: "List replays", description: "Newest first. Replays that have ended are kept as long as events. With Grapnel-Tenant: *, those of all tenants.",
	}, a.listReplays)
	register(a, operation{
		id: "get-replay", portal: portalView, method: http.MethodGet, path: "/v1/replays/{id}", tag: tagStandard, scopes: read,
		summary: "Get a replay", description: "The replay with the results of its deliveries so far.", errors: []int{http.StatusNotFound},
	}, a.getReplay)
	register(a, operation{
		id: "update-replay", portal: portalRetry, method: http.MethodPatch, path: "/v1/replays/{id}", tag: tagStandard, scopes: manage,
		summary: "Change a replay's rate", description: "In force within seconds.", errors: one,
	}, a.updateReplay)
	for verb, does := range map[string]struct {
		state                hook.ReplayState
		summary, description string
	}{
		"pause":  {hook.ReplayPaused, "Pause a replay", "The replay makes no more deliveries until it is resumed; existing ones are still sent. Pausing a paused replay does nothing."},
		"resume": {hook.ReplayRunning, "Resume a replay", "The replay continues where it was paused."},
		"cancel": {hook.ReplayCanceled, "Cancel a replay", "The replay makes no more deliveries, and its deliveries with an attempt to come end as canceled."},
	} {
		register(a, operation{
			id: verb + "-replay", portal: portalRetry, method: http.MethodPost, path: "/v1/replays/{id}/" + verb, tag: tagStandard, scopes: manage,
			summary: does.summary, description: does.description, errors: one, repeatable: true,
		}, func(ctx context.Context, in *replayInput) (*replayOutput, error) {
			return a.changeReplay(ctx, in.ID, func(r *hook.Replay) error {
				r.State = does.state
				return nil
			})
		})
	}
}

// mostEstimated and estimateFor bound the count of a dry run.
const (
	mostEstimated = 100_000
	estimateFor   = 5 * time.Second
)

func (a *API) replayWebhook(ctx context.Context, in *replayWebhookInput) (*replayWebhookOutput, error) {
	r, err := a.readReplay(ctx, in)
	if err != nil {
		return nil, err
	}
	if in.Body.DryRun != nil && *in.Body.DryRun {
		n, err := a.estimate(ctx, r)
		return &replayWebhookOutput{Status: http.StatusOK, Body: n}, err
	}
	if r, err = a.Store.CreateReplay(ctx, r); err != nil {
		return nil, err
	}
	a.Dispatcher.Replay(r.ID)
	return &replayWebhookOutput{Status: http.StatusAccepted, Body: a.viewReplay(ctx, &r)}, nil
}

// estimate counts the events of a replay for at most estimateFor. If the time is up, the count so far is the result.
func (a *API) estimate(ctx context.Context, r hook.Replay) (ReplayEstimate, error) {
	n, _, err := a.count(ctx, r)
	return n, err
}

// count is estimate, and also returns the number of each webhook of a replay over several.
func (a *API) count(ctx context.Context, r hook.Replay) (ReplayEstimate, map[hook.WebhookID]int, error) {
	counting, cancel := context.WithTimeout(ctx, estimateFor)
	defer cancel()
	n, err := a.Store.CountReplay(counting, r, mostEstimated)
	if counting.Err() != nil && ctx.Err() == nil {
		err = nil
	}
	return ReplayEstimate{DryRun: true, Events: n.Events, Complete: n.Complete}, n.Webhooks, err
}

// readReplay returns the replay that a request describes.
func (a *API) readReplay(ctx context.Context, in *replayWebhookInput) (hook.Replay, error) {
	w, err := a.webhook(ctx, in.ID)
	if err != nil {
		return hook.Replay{}, err
	}
	b := &in.Body
	r := hook.Replay{
		TenantID: w.TenantID, WebhookID: w.ID, Status: hook.ReplayStatus(b.Status), EventTypes: b.EventTypes,
		Since: b.Since.Truncate(time.Millisecond), Until: replayedUntil(b.Until), Rate: hook.DefaultReplayRate,
	}
	if b.Rate != nil {
		r.Rate = *b.Rate
	}
	switch {
	case !r.Since.Before(r.Until):
		return r, hook.Unprocessable("body.since", "must be before until, and in the past")
	case w.Profile == hook.ProfileMomento && r.Status != hook.ReplayMissing:
		return r, hook.Unprocessable("body.status", "must be missing: a message is never sent twice")
	case !w.Active:
		return r, &hook.Error{Kind: hook.KindPrecondition, Message: "the webhook is not active"}
	}
	return r, a.checkReplayedTypes(ctx, &w, b.EventTypes)
}

// replayedUntil returns the end of a replay's period: events from now on are not of the past.
func replayedUntil(asked time.Time) time.Time {
	now := time.Now().UTC().Truncate(time.Millisecond)
	if asked.IsZero() || asked.After(now) {
		return now
	}
	return asked.Truncate(time.Millisecond)
}

// checkReplayedTypes refuses event types that no event of the webhook can have. Commenda's and Momento's topics are
// free-form, and a name that a webhook subscribes to may be a topic too.
func (a *API) checkReplayedTypes(ctx context.Context, w *hook.Webhook, patterns []string) error {
	var names []string
	for _, pattern := range patterns {
		if problem := patternProblem(w, pattern); problem != "" {
			return replayedType(pattern, problem)
		}
		if w.Profile == hook.ProfileStandard && !hook.IsWildcard(pattern) && !slices.Contains(w.Events, pattern) {
			names = append(names, pattern)
		}
	}
	problems, _, err := a.lookUpTypes(ctx, names)
	if err != nil {
		return err
	}
	for _, name := range names {
		if problem := problems[name]; problem != "" {
			return replayedType(name, problem)
		}
	}
	return nil
}

func replayedType(pattern, problem string) error {
	return hook.Unprocessable("body.event_types", "%s: %s", strings.ToValidUTF8(pattern, "?"), problem)
}

// patternProblem says what is wrong with an event type in a replay's request; "" for nothing.
func patternProblem(w *hook.Webhook, pattern string) string {
	if w.Profile == hook.ProfileStandard || hook.IsWildcard(pattern) {
		return hook.PatternProblem(pattern)
	}
	return hook.TopicProblem(pattern)
}

func (a *API) listReplays(ctx context.Context, in *listReplaysInput) (*listReplaysOutput, error) {
	page, err := in.page(listReplays)
	if err != nil {
		return nil, err
	}
	var webhook *hook.WebhookID
	if in.WebhookID != "" {
		id, err := hook.ParseWebhookID(in.WebhookID)
		if err != nil {
			return nil, hook.Unprocessable("query.webhook_id", "%s", err)
		}
		webhook = &id
	}
	replays, last, err := a.Store.Replays(ctx, listed(ctx), webhook, page)
	if err != nil {
		return nil, err
	}
	views, next := a.replayPages(ctx).answerFrom(ctx, replays, last)
	return &listReplaysOutput{Body: replayList{views, next}}, nil
}

func (a *API) replayPages(ctx context.Context) pages[hook.Replay, Replay] {
	return pages[hook.Replay, Replay]{
		kind: listReplays, id: func(r *hook.Replay) [16]byte { return r.ID }, bytes: replayBytes,
		view: func(r *hook.Replay) Replay {
			v := a.viewReplay(ctx, r)
			v.TenantID = shownTenant(ctx, r.TenantID)
			return v
		},
	}
}

func (a *API) getReplay(ctx context.Context, in *replayInput) (*replayOutput, error) {
	id, err := replayID(in.ID)
	if err != nil {
		return nil, err
	}
	r, err := a.Store.Replay(ctx, tenant(ctx), id)
	if err != nil {
		return nil, err
	}
	return a.replayDetail(ctx, &r)
}

func (a *API) replayDetail(ctx context.Context, r *hook.Replay) (*replayOutput, error) {
	p, err := a.Store.ReplayProgress(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	out := &replayOutput{Body: a.viewReplay(ctx, r)}
	out.Body.Progress = &ReplayProgress{Succeeded: p.Succeeded, Failed: p.Failed, Canceled: p.Canceled, Outstanding: p.Outstanding}
	if r.Many {
		webhooks, more, err := a.Store.ReplayWebhooks(ctx, r, shownWebhooks)
		if err != nil {
			return nil, err
		}
		out.Body.Webhooks, out.Body.WebhooksOmitted = viewReplayed(webhooks, more)
	}
	return out, nil
}

func (a *API) updateReplay(ctx context.Context, in *updateReplayInput) (*replayOutput, error) {
	return a.changeReplay(ctx, in.ID, func(r *hook.Replay) error {
		r.Rate = in.Body.Rate
		return nil
	})
}

// changeReplay changes a replay that has not ended.
func (a *API) changeReplay(ctx context.Context, text string, change func(*hook.Replay) error) (*replayOutput, error) {
	id, err := replayID(text)
	if err != nil {
		return nil, err
	}
	r, err := a.Store.UpdateReplay(ctx, tenant(ctx), id, func(r *hook.Replay) error {
		if r.Ended() {
			return &hook.Error{Kind: hook.KindPrecondition, Message: "the replay is " + string(r.State)}
		}
		return change(r)
	})
	if err != nil {
		return nil, err
	}
	return a.replayDetail(ctx, &r)
}

func replayID(text string) (hook.ReplayID, error) {
	id, err := hook.ParseReplayID(text)
	if err != nil {
		return id, hook.NotFound("replay")
	}
	return id, nil
}
