package crash

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"grapnel/internal/wait"
)

// settle is how long the run waits for late duplicates.
const settle = time.Second

// account collects the evidence and judges it. Publishing and striking lasted from begin to end.
func (r *run) account(ctx context.Context, begin, end time.Time) (Row, error) {
	if err := wait.For(ctx, settle); err != nil {
		return Row{}, err
	}
	e := &Evidence{Damage: r.Damage, Webhooks: r.webhooks, Struck: r.struck, Window: r.Window, Waits: r.publisher.Waits()}
	e.Publications, e.Counts = r.publisher.Publications()
	var err error
	if e.Survey, err = r.Stack.Survey(); err != nil {
		return Row{}, err
	}
	if err := r.readEndings(ctx, e.Struck); err != nil {
		return Row{}, err
	}
	if e.Store, err = readStore(ctx, r.Database, r.ended); err != nil {
		return Row{}, err
	}
	if e.Listed, err = readLists(ctx, r.balancer, r.webhooks); err != nil {
		return Row{}, err
	}
	e.Requests = r.receiver.Requests(r.webhooks)
	found := Check(e)
	if err := r.sample(ctx, e.Store); err != nil {
		found.Violations = append(found.Violations, Violation{RuleList, err.Error()})
	}
	row := newRow(e, &found, begin, end)
	for _, s := range e.Struck {
		row.AcceptedMeanwhile += r.publisher.AcceptedBetween(s.Begin, s.End)
	}
	away := slices.Contains([]Damage{KillTemporal, StopTemporal, AwayTemporal, LoseNamespace}, r.Damage)
	if away && row.AcceptedMeanwhile == 0 {
		row.Violations = append(row.Violations, Violation{RuleAnswer, "nothing was accepted while Temporal was down"})
	}
	return row, nil
}

// sampled is the number of events that are read one by one.
const sampled = 20

// sample reads some events and the attempts of their deliveries through the API (S10, S13), and compares them with
// the store.
func (r *run) sample(ctx context.Context, s *Store) error {
	attempts := map[string]int{}
	for _, a := range s.Attempts {
		attempts[a.DeliveryID]++
	}
	for i := 0; i < len(s.Deliveries); i += max(1, len(s.Deliveries)/sampled) {
		d := &s.Deliveries[i]
		var detail struct {
			Attempts   int
			AttemptLog []struct{ Number int } `json:"attempt_log"`
		}
		if err := call(ctx, r.balancer, http.MethodGet, "/v1/deliveries/"+d.ID, nil, &detail); err != nil {
			return err
		}
		if detail.Attempts != d.Attempts || len(detail.AttemptLog) != attempts[d.ID] {
			return fmt.Errorf("delivery %s is shown with %d attempts, %d of them logged; it has %d", d.ID, detail.Attempts, len(detail.AttemptLog), d.Attempts)
		}
		for i, a := range detail.AttemptLog {
			if a.Number != i+1 {
				return fmt.Errorf("delivery %s: the log's attempt %d is shown as %d", d.ID, i+1, a.Number)
			}
		}
	}
	return nil
}
