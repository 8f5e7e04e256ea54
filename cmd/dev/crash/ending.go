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

// Ending is how a webhook with a backlog was ended, and what became of the backlog.
type Ending struct {
	// Webhook is its name, Backlog how many deliveries waited for it.
	Webhook string
	Backlog int
	// Asked is when it was ended: the call, or the first answer of 410. Answered is when
	// the call was answered, with Status, or when the API first showed it disabled.
	Asked, Answered time.Time
	Status          int
	// Shown is what the API then said of a delivery that nobody had attempted; empty for
	// "not found".
	Shown string
	// Canceled are the deliveries that ended so, Attempted others that came to an end,
	// Outstanding those that did not.
	Canceled, Attempted, Outstanding int
	// Over is when the last was canceled.
	Over time.Time
	// Requests are when each came that its endpoint got, Twice how many of them were of an
	// event that it had got before.
	Requests []time.Time
	Twice    int
}

// endWebhook makes a webhook with a backlog, lets its deliveries begin, and ends it.
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

// path is the webhook's in the API.
func (w *Webhook) path() string {
	id, _ := hook.ParseWebhookID(w.ID) // it was read from the API
	return "/v1/webhooks/" + id.String()
}

// end ends it: by a call, or by its endpoint's own answer.
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

// notEnded is how long one waits for an end that does not come.
const notEnded = 2 * time.Minute

// awaitDisabled waits until the API says that the webhook is not active.
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

// underWay is how many requests are to have come before a webhook is ended.
const underWay = 20

// awaitRequests waits until the webhook's endpoint has got some; of one that is gone the
// first is all that there may be.
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

// awaitCanceled waits until nothing of the webhook's is outstanding. That it takes too
// long is for the oracle to say.
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

// shown is what the API says of a delivery.
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

// readEndings finds out what became of the backlogs.
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
