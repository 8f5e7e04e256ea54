package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"grapnel/internal/contract"
	"grapnel/internal/explain"
	"grapnel/internal/hook"
)

type deliveryStore interface {
	Delivery(ctx context.Context, tenant hook.TenantID, id hook.DeliveryID) (hook.Delivery, error)
	// LoggedWebhook finds the webhook of a delivery log, which may have been deleted. LoggedWebhookNamed finds that of
	// a Momento webhook by its names.
	LoggedWebhook(ctx context.Context, of hook.TenantFilter, id hook.WebhookID) (hook.Logged, error)
	LoggedWebhookNamed(ctx context.Context, tenant hook.TenantID, cache, name string) (hook.Logged, error)
	Deliveries(ctx context.Context, w hook.WebhookID, f hook.DeliveryFilter, p hook.Page) (list []hook.Delivery, next *[16]byte, err error)
	// FindDeliveries lists the deliveries of all webhooks.
	FindDeliveries(ctx context.Context, of hook.TenantFilter, f hook.DeliverySearch, p hook.Page) (list []hook.Delivery, next *[16]byte, err error)
	DeliveriesOfEvent(ctx context.Context, e hook.EventID, limit int) ([]hook.Delivery, error)
	Attempts(ctx context.Context, id hook.DeliveryID) ([]hook.Attempt, error)
}

// ManualSender sends one delivery at once and returns when the outcome has been stored. If it is certain that nothing
// was sent, the error wraps hook.ErrNotSent. Sending has a timeout of its own.
type ManualSender interface {
	Send(ctx context.Context, d hook.Delivery) error
}

// Delivery is one event for one webhook, as the delivery log shows it.
type Delivery struct {
	ID            string       `json:"id" doc:"The delivery's id in paths." example:"del_01kab1s6rzfkqbzry2kztmfpx1"`
	TenantID      string       `json:"tenant_id,omitempty" doc:"The tenant that it belongs to. Only in lists over all tenants." example:"ten_01kab1s6rzfkqbzry2kztmfpx1"`
	EventID       string       `json:"event_id" doc:"The event delivered." example:"evt_01kab1s6rzfkqbzry2kztmfpx1"`
	WebhookID     string       `json:"webhook_id" doc:"The webhook delivered to." example:"hook_01kab1s6rzfkqbzry2kztmfpx1"`
	EventType     string       `json:"event_type" doc:"The event's type." example:"user.created"`
	Test          bool         `json:"test,omitempty" doc:"Whether it is a test delivery." example:"false"`
	ReplayID      string       `json:"replay_id,omitempty" doc:"The replay that made the delivery, if any." example:"rpl_01kab1s6rzfkqbzry2kztmfpx1"`
	Status        string       `json:"status" enum:"pending,success,failed,canceled,timed_out,dropped" doc:"pending: no attempt yet. failed: the last attempt failed; if next_attempt_at or waiting is present, another follows. canceled: the webhook was deleted or disabled, or the replay was canceled. timed_out: a momento message had no answer in time. dropped: a momento message that may or may not have arrived." example:"success"`
	StatusCode    int          `json:"status_code,omitempty" doc:"The HTTP status of the last answered attempt." example:"200"`
	Attempts      int          `json:"attempts" doc:"Number of attempts so far, including those made by hand." example:"1"`
	DeliveredAt   *time.Time   `json:"delivered_at,omitempty" doc:"Only on success." example:"2026-01-15T12:30:00Z"`
	Error         string       `json:"error,omitempty" doc:"The last attempt's." example:"HTTP 500 Internal Server Error"`
	Explanation   *Explanation `json:"explanation,omitempty" doc:"Why the last attempt failed, or why the delivery ended without success, in plain words."`
	NextAttemptAt *time.Time   `json:"next_attempt_at,omitempty" doc:"When the next attempt is due; never in the past. Present only if an attempt follows and the delivery does not wait." example:"2026-01-15T12:30:30.125Z"`
	Waiting       *Waiting     `json:"waiting,omitempty" doc:"Why a delivery that is due is not sent yet. Waiting uses up no attempt."`
	WorkflowID    string       `json:"workflow_id,omitempty" doc:"The Temporal workflow that sends the delivery, if it is not the event's: the webhook's drain sends deliveries that wait for their webhook, or have waited." example:"hook_01kab1s6rzfkqbzry2kztmfpx1-drain"`
	WorkflowURL   string       `json:"workflow_url,omitempty" doc:"That workflow in the Temporal Web UI." example:"http://127.0.0.1:8233/namespaces/default/workflows/hook_01kab1s6rzfkqbzry2kztmfpx1-drain"`
	CreatedAt     time.Time    `json:"created_at" doc:"When the event was published, or when the replay made the delivery." example:"2026-01-15T12:30:00Z"`
}

// Waiting is the reason why a delivery that is due has to wait.
type Waiting struct {
	Reason      string     `json:"reason" enum:"tenant_suspended,paused,endpoint_unavailable,rate_limited,in_flight_limit" doc:"tenant_suspended: the account is suspended. paused: the webhook is paused. endpoint_unavailable: the endpoint does not answer; the delivery is sent when it answers, with any status, and fails 24 hours after its event. rate_limited: the webhook is at its rate_limit. in_flight_limit: the webhook has its largest number of requests in flight." example:"endpoint_unavailable"`
	Since       time.Time  `json:"since" doc:"Since when the delivery has waited for this reason." example:"2026-01-15T12:30:30.125Z"`
	NextProbeAt *time.Time `json:"next_probe_at,omitempty" doc:"When an unavailable endpoint is probed next, with the delivery that has waited longest; absent if unknown. A test or a retry by hand probes at once." example:"2026-01-15T12:31:34.25Z"`
}

func (a *API) viewDelivery(ctx context.Context, d *hook.Delivery) Delivery {
	v := Delivery{
		ID: d.ID.String(), EventID: d.EventID.String(), WebhookID: d.WebhookID.String(), EventType: d.EventType,
		Test: d.Test, Status: string(d.State), StatusCode: d.StatusCode, Attempts: d.Attempts, Error: d.Error,
		Explanation: viewExplanation(explain.Delivery(d, nil)), CreatedAt: seconds(d.CreatedAt),
	}
	if d.ReplayID != (hook.ReplayID{}) {
		v.ReplayID = d.ReplayID.String()
	}
	if d.State == hook.StateSending {
		v.Status = string(hook.StatePending) // how it is done is not the caller's concern
	}
	if d.DeliveredAt != nil {
		at := seconds(*d.DeliveredAt)
		v.DeliveredAt = &at
	}
	switch {
	case d.NextAttemptAt == nil:
	case d.Waits != nil:
		v.Waiting = viewWait(d.Waits)
	default:
		at := millis(*d.NextAttemptAt)
		if now := millis(time.Now()); at.Before(now) {
			at = now
		}
		v.NextAttemptAt = &at
	}
	if d.Deferred {
		v.WorkflowID = contract.DrainID(d.WebhookID)
		v.WorkflowURL = a.workflowURL(ctx, v.WorkflowID)
	}
	return v
}

func viewWait(w *hook.Wait) *Waiting {
	v := &Waiting{Reason: string(w.Reason), Since: millis(w.Since)}
	if w.ProbeAt != nil {
		at := millis(*w.ProbeAt)
		v.NextProbeAt = &at
	}
	return v
}

func millis(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// DeliveryDetail is a delivery with its attempts.
type DeliveryDetail struct {
	Delivery
	AttemptLog []Attempt `json:"attempt_log" doc:"Every attempt, oldest first; of more than 4 MiB the last ones."`
	Omitted    int       `json:"attempts_omitted,omitempty" doc:"How many earlier attempts attempt_log leaves out." example:"12"`
}

type deliveryOutput struct {
	Body DeliveryDetail
}

type listDeliveriesInput struct {
	IDPath
	DeliveryQuery
}

// DeliveryQuery holds the query parameters of a webhook's delivery log. It is exported for the same reason as IDPath.
type DeliveryQuery struct {
	Paging
	Status    string    `query:"status" enum:"pending,success,failed,canceled,timed_out,dropped" doc:"Only deliveries of this status."`
	EventType string    `query:"event_type" maxLength:"128" doc:"Only deliveries of events of this type, or of those that a pattern like user.* matches."`
	Since     time.Time `query:"since" doc:"Only deliveries of events from this time on."`
	Until     time.Time `query:"until" doc:"Only deliveries of events before this time."`
}

type deliveryList struct {
	DeletedWebhook
	Deliveries []Delivery `json:"deliveries" doc:"This page of deliveries, newest first."`
	NextCursor *string    `json:"next_cursor" nullable:"true" doc:"Cursor of the next page; null on the last page. A page of a filtered list ends after a bounded search, so it may be short or empty although more pages follow." example:"AWQBmrHU6q9ekr-Xz5m6pYVu"`
}

// DeletedWebhook marks the delivery log of a webhook that was deleted. It is exported for the same reason as IDPath.
type DeletedWebhook struct {
	DeletedAt *time.Time `json:"webhook_deleted_at,omitempty" doc:"When the webhook was deleted; absent before that." example:"2026-01-15T12:00:00Z"`
}

func viewDeleted(w *hook.Logged) DeletedWebhook {
	if w.DeletedAt == nil {
		return DeletedWebhook{}
	}
	at := seconds(*w.DeletedAt)
	return DeletedWebhook{&at}
}

type listDeliveriesOutput struct {
	Body deliveryList
}

// byHandText documents the bounds of sending by hand.
const byHandText = "429 if the webhook is at its rate_limit or its limit of requests in flight, which events count towards too, " +
	"or if the account has more than 16 tests and retries in progress, or makes more than 20 a second, in one process."

func (a *API) registerDeliveries() {
	read := []hook.Scope{hook.ScopeRead, hook.ScopeWebhooks}
	register(a, operation{
		id: "list-deliveries", portal: portalView, method: http.MethodGet, path: "/v1/webhooks/{id}/deliveries", tag: tagStandard, scopes: read, large: true,
		summary: "List a webhook's deliveries", description: "Newest first, including test deliveries. The log of a deleted webhook can be read as long as deliveries are kept.", errors: []int{http.StatusNotFound},
	}, a.listDeliveries)
	register(a, operation{
		id: "get-delivery", portal: portalView, method: http.MethodGet, path: "/v1/deliveries/{id}", tag: tagStandard, scopes: read, large: true,
		summary: "Get a delivery", description: "The delivery with every attempt: the request, the answer and the times.",
		errors: []int{http.StatusNotFound},
	}, a.getDelivery)
	register(a, operation{
		id: "retry-delivery", portal: portalRetry, method: http.MethodPost, path: "/v1/deliveries/{id}/retry", tag: tagStandard, large: true,
		scopes: []hook.Scope{hook.ScopeWebhooks}, summary: "Send a delivery now", sends: true,
		description: "Makes one attempt, whatever the delivery's status, and waits for its outcome. Scheduled attempts stay as they " +
			"are, unless this one succeeds. An answer closes an open breaker. " + byHandText,
		errors: []int{http.StatusNotFound, http.StatusConflict},
	}, a.retryDelivery)
}

func (a *API) listDeliveries(ctx context.Context, in *listDeliveriesInput) (*listDeliveriesOutput, error) {
	w, err := a.loggedWebhook(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return a.listLog(ctx, &w, &in.DeliveryQuery)
}

// loggedWebhook finds the webhook of a delivery log by the id in a path.
func (a *API) loggedWebhook(ctx context.Context, text string) (hook.Logged, error) {
	id, err := webhookID(text)
	if err != nil {
		return hook.Logged{}, err
	}
	return a.Store.LoggedWebhook(ctx, listed(ctx), id)
}

func (a *API) listLog(ctx context.Context, w *hook.Logged, q *DeliveryQuery) (*listDeliveriesOutput, error) {
	views, next, err := deliveryPage(ctx, a, w, q, a.viewDelivery)
	if err != nil {
		return nil, err
	}
	return &listDeliveriesOutput{Body: deliveryList{viewDeleted(w), views, next}}, nil
}

// deliveryPage returns a page of a webhook's log, in a surface's view, and the cursor of the next page. All surfaces
// use it.
func deliveryPage[V any](ctx context.Context, a *API, w *hook.Logged, q *DeliveryQuery, view func(context.Context, *hook.Delivery) V) (views []V, next *string, err error) {
	if err := checkReadableLog(ctx, w); err != nil {
		return nil, nil, err
	}
	page, err := q.page(listDeliveries)
	if err != nil {
		return nil, nil, err
	}
	if err := typeFilter("event_type", q.EventType); err != nil {
		return nil, nil, err
	}
	if err := checkPeriod(q.Since, q.Until); err != nil {
		return nil, nil, err
	}
	page.Since, page.Until = q.Since, q.Until
	filter := hook.DeliveryFilter{State: hook.DeliveryState(q.Status), EventType: q.EventType, May: readable(ctx)}
	found, last, err := a.Store.Deliveries(ctx, w.ID, filter, page)
	if err != nil {
		return nil, nil, err
	}
	bytes := func(*hook.Delivery) int { return entryBytes }
	shown := func(d *hook.Delivery) V { return view(ctx, d) }
	views, next = pages[hook.Delivery, V]{kind: listDeliveries, bytes: bytes, view: shown}.answerUpTo(ctx, found, last)
	return views, next, nil
}

func (a *API) getDelivery(ctx context.Context, in *IDPath) (*deliveryOutput, error) {
	d, err := a.delivery(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return a.deliveryDetail(ctx, d)
}

func (a *API) retryDelivery(ctx context.Context, in *IDPath) (*deliveryOutput, error) {
	d, err := a.delivery(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := checkActive(ctx); err != nil {
		return nil, err
	}
	if err := a.checkRetried(ctx, &d); err != nil {
		return nil, err
	}
	leave, err := a.limits.byHand(d.TenantID, time.Now())
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := a.sendRetry(ctx, d); err != nil {
		return nil, err
	}
	if d, err = a.Store.Delivery(ctx, d.TenantID, d.ID); err != nil {
		return nil, err
	}
	return a.deliveryDetail(ctx, d)
}

// sendRetry logs the retry and sends it. A retry of which nothing was sent leaves no entry.
func (a *API) sendRetry(ctx context.Context, d hook.Delivery) error {
	entry, err := a.Store.BeginRetry(ctx, d)
	if err != nil {
		return err
	}
	err = a.Sender.Send(ctx, d)
	if err != nil && neverSent(err) {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.Config.Timeout)
		defer cancel()
		if err := a.Store.DropRetry(undo, entry); err != nil {
			a.Logger.WarnContext(ctx, "the audit log keeps a retry of which nothing was sent",
				slog.String("delivery_id", d.ID.String()), slog.Any("error", err))
		}
	}
	return err
}

// checkRetried refuses the retry of a test whose signature the caller may not order: the webhook may have got the
// scheme v1a since the test was sent.
func (a *API) checkRetried(ctx context.Context, d *hook.Delivery) error {
	if !d.Test {
		return nil
	}
	w, err := a.Store.Webhook(ctx, d.TenantID, d.WebhookID)
	if hook.KindOf(err) == hook.KindNotFound {
		return nil // the sender reports it
	}
	if err != nil {
		return err
	}
	return checkSignsForAccount(ctx, &w)
}

func (a *API) delivery(ctx context.Context, text string) (hook.Delivery, error) {
	id, err := hook.ParseDeliveryID(text)
	if err != nil {
		return hook.Delivery{}, hook.NotFound("delivery")
	}
	d, err := a.Store.Delivery(ctx, tenant(ctx), id)
	if err == nil {
		err = a.checkReadableDelivery(ctx, &d)
	}
	return d, err
}

func (a *API) deliveryDetail(ctx context.Context, d hook.Delivery) (*deliveryOutput, error) {
	if err := reserve(ctx); err != nil {
		return nil, err
	}
	attempts, err := a.Store.Attempts(ctx, d.ID)
	if err != nil {
		return nil, err
	}
	out := &deliveryOutput{Body: DeliveryDetail{Delivery: a.viewDelivery(ctx, &d), AttemptLog: []Attempt{}}}
	answered(ctx, attemptsBytes(attempts))
	if len(attempts) > 0 {
		out.Body.Omitted = attempts[0].Number - 1
		// The attempt is known better than what the delivery has of it.
		out.Body.Explanation = viewExplanation(explain.Delivery(&d, &attempts[len(attempts)-1]))
	}
	for i := range attempts {
		out.Body.AttemptLog = append(out.Body.AttemptLog, viewAttempt(&attempts[i]))
	}
	return out, nil
}
