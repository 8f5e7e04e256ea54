package crash

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
	"grapnel/internal/wait"
)

// Ending is how a webhook with a backlog ended, and the state of the backlog after it.
type Ending struct {
	// Webhook is the webhook's name, and Backlog the number of its deferred deliveries before it ended.
	Webhook string
	Backlog int
	// Asked is the time of the call that ended the webhook, or of the first 410 response. Answered is the time of the
	// call's response, which had the given Status, or the time at which the API first showed the webhook as disabled.
	Asked, Answered time.Time
	Status          int
	// Shown is the state that the API then returned for a delivery without attempts; empty for "not found".
	Shown string
	// Canceled, Attempted and Outstanding are the numbers of deliveries that were canceled, that ended otherwise, and
	// that have not ended.
	Canceled, Attempted, Outstanding int
	// Over is the time of the last cancellation.
	Over time.Time
	// Requests are the arrival times of all requests to the endpoint. Twice is the number of requests for an event
	// that had arrived before.
	Requests []time.Time
	Twice    int
}

// endWebhook gives a webhook a backlog, lets its deliveries begin, and ends the webhook.
func (r *run) endWebhook(ctx context.Context, struck *Struck) error {
	w := r.ended[struck.Stage]
	first, err := r.makeBacklog(ctx, w, struck.Size)
	if err != nil {
		return fmt.Errorf("backlog of %s: %w", w.Name, err)
	}
	e := &Ending{Webhook: w.Name, Backlog: struck.Size}
	struck.Ending, struck.Held[0] = e, time.Now()
	struck.Probes, err = r.probe(ctx, r.balancer, struck.Number, func(ctx context.Context) error {
		if err := call(ctx, r.balancer, http.MethodPatch, w.path(), map[string]any{"paused": false}, nil); err != nil {
			return err
		}
		if err := r.awaitRequests(ctx, w); err != nil {
			return err
		}
		if err := r.end(ctx, w, struck.Stage, e); err != nil {
			return err
		}
		if e.Shown, err = r.shown(ctx, first); err != nil {
			return err
		}
		return r.awaitCanceled(ctx, w)
	})
	struck.Held[1] = time.Now()
	return err
}

// path returns the webhook's path in the API.
func (w *Webhook) path() string {
	id, _ := hook.ParseWebhookID(w.ID) // the id comes from the API
	return "/v1/webhooks/" + id.String()
}

// end ends the webhook by a call, or by the 410 of its endpoint.
func (r *run) end(ctx context.Context, w *Webhook, stage int, e *Ending) (err error) {
	e.Asked = time.Now()
	switch stage {
	case EndDeleted:
		e.Status, _, err = r.balancer.Send(ctx, request{method: http.MethodDelete, path: w.path()})
	case EndDisabled:
		e.Status, _, err = r.balancer.Send(ctx, request{
			method: http.MethodPatch, path: w.path(), contentType: "application/json", body: []byte(`{"active":false}`),
		})
	default:
		e.Status, err = r.awaitDisabled(ctx, w)
	}
	e.Answered = time.Now()
	if err != nil {
		r.Progress("ending %s: %v", w.Name, err) // the oracle says more
	}
	return ctx.Err()
}

// notEnded bounds the wait for the end of a webhook.
const notEnded = 2 * time.Minute

// awaitDisabled waits until the API shows the webhook as inactive.
func (r *run) awaitDisabled(ctx context.Context, w *Webhook) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, notEnded)
	defer cancel()
	for {
		var shown struct{ Active bool }
		err := call(ctx, r.balancer, http.MethodGet, w.path(), nil, &shown)
		if err == nil && !shown.Active {
			return http.StatusOK, nil
		}
		if wait.For(ctx, 50*time.Millisecond) != nil {
			return 0, errors.Join(err, errors.New("it is still active"))
		}
	}
}

// underWay is the number of requests that must arrive before a webhook is ended.
const underWay = 20

// awaitRequests waits until the webhook's endpoint has received some requests. An endpoint that answers 410 may
// receive only one.
func (r *run) awaitRequests(ctx context.Context, w *Webhook) error {
	ctx, cancel := context.WithTimeoutCause(ctx, notEnded, errors.New("its endpoint got too few requests"))
	defer cancel()
	for n := 0; n == 0 || n < underWay && !w.Gone; n = r.receiver.Got(w) {
		if wait.For(ctx, 20*time.Millisecond) != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// awaitCanceled waits until the webhook has no outstanding delivery. The oracle decides whether that took too long.
func (r *run) awaitCanceled(ctx context.Context, w *Webhook) error {
	limited, cancel := context.WithTimeout(ctx, r.Drain)
	defer cancel()
	for {
		var left int
		err := onConn(limited, r.Database, func(conn *pgx.Conn) error {
			return conn.QueryRow(limited, `select count(*) from deliveries where webhook_id = $1 and next_attempt_at is not null`, w.ID).Scan(&left)
		})
		if err == nil && left == 0 || wait.For(limited, 500*time.Millisecond) != nil {
			return ctx.Err()
		}
	}
}

// shown returns the state of a delivery in the API.
func (r *run) shown(ctx context.Context, id string) (string, error) {
	delivery, err := hook.ParseDeliveryID(id)
	if err != nil {
		return "", err
	}
	status, answer, err := r.balancer.Send(ctx, request{method: http.MethodGet, path: "/v1/deliveries/" + delivery.String()})
	if err != nil || status == http.StatusNotFound {
		return "", err
	}
	return stateOf(answer), nil
}

// readEndings reads the final state of the backlogs from the store.
func (r *run) readEndings(ctx context.Context, list []Struck) error {
	for i := range list {
		e := list[i].Ending
		if e == nil {
			continue
		}
		w := r.ended[list[i].Stage]
		seen := map[string]bool{}
		for _, request := range r.receiver.Requests([]*Webhook{w}) {
			if request.Webhook != w.Name {
				continue
			}
			e.Requests = append(e.Requests, request.At)
			if seen[request.Ref] {
				e.Twice++
			}
			seen[request.Ref] = true
		}
		err := onConn(ctx, r.Database, func(conn *pgx.Conn) error {
			return conn.QueryRow(ctx, `
				select count(*) filter (where next_attempt_at is null and state = 'canceled'),
					count(*) filter (where next_attempt_at is null and state <> 'canceled'),
					count(*) filter (where next_attempt_at is not null),
					coalesce(max(updated_at) filter (where state = 'canceled'), to_timestamp(0))
				from deliveries where webhook_id = $1`, w.ID).Scan(&e.Canceled, &e.Attempted, &e.Outstanding, &e.Over)
		})
		if err != nil {
			return fmt.Errorf("read what became of the backlog of %s: %w", w.Name, err)
		}
	}
	return nil
}
