package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"grapnel/internal/wait"
)

// Names of rows of the case tenants: the quiet tenant alone, and the busy one.
const (
	rowAlone = CaseTenants + " alone"
	rowFlood = CaseTenants + " flood"
)

const (
	// tenantRate is the number of events per second of the quiet tenant.
	tenantRate = 5
	// floodTries is the number of times in a row that a batch may be refused.
	floodTries = 100
)

// runTenants measures a quiet tenant alone, and while another one publishes as fast as it can. Each has a webhook and
// a receiver of its own.
func runTenants(ctx context.Context, spec Spec) ([]Result, error) {
	quiet, err := startTenant(ctx, spec, "quiet")
	if err != nil {
		return nil, err
	}
	defer quiet.close()
	// Few connections suffice, because each request holds many events.
	spec.Publishers = max(1, spec.Publishers/8)
	busy, err := startTenant(ctx, spec, "busy")
	if err != nil {
		return nil, err
	}
	defer busy.close()
	for _, r := range []*run{busy, quiet} {
		if err := r.warmUp(ctx, func(d time.Duration) { r.open(ctx, idleRate, d) }); err != nil {
			return nil, err
		}
	}
	alone, err := quiet.measure(ctx, rowAlone, func() { quiet.open(ctx, tenantRate, spec.Window) })
	if err != nil {
		return nil, err
	}
	beside, flood, err := besideFlood(ctx, quiet, busy)
	if err != nil {
		return nil, err
	}
	compareTenants(&alone, &beside, &flood)
	return []Result{alone, beside, flood}, nil
}

// startTenant returns a run as a new tenant, which has one webhook. spec.Key must be the operator's.
func startTenant(ctx context.Context, spec Spec, name string) (*run, error) {
	operator := newClient(spec.Targets, spec.Key, 1)
	defer operator.http.CloseIdleConnections()
	key, err := operator.createTenant(ctx, fmt.Sprintf("bench %s %d", name, time.Now().UnixNano()))
	if err != nil {
		return nil, err
	}
	spec.Key = key
	return startSimple(ctx, spec, 1)
}

// createTenant makes a tenant and returns its first API key.
func (c *client) createTenant(ctx context.Context, name string) (key string, err error) {
	body, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		return "", err
	}
	status, answer, err := c.send(ctx, http.MethodPost, "/v1/tenants", body)
	if err != nil {
		return "", fmt.Errorf("create tenant: %w", err)
	}
	if status != http.StatusCreated {
		return "", fmt.Errorf("create tenant: HTTP %d %s", status, answer)
	}
	var created struct {
		APIKey struct {
			Key string `json:"key"`
		} `json:"api_key"`
	}
	if err := json.Unmarshal(answer, &created); err != nil || created.APIKey.Key == "" {
		return "", fmt.Errorf("create tenant: the answer has no key: %w", err)
	}
	return created.APIKey.Key, nil
}

// besideFlood measures the quiet tenant while the busy one floods: from the flood's first event until its last one is
// delivered.
func besideFlood(ctx context.Context, quiet, busy *run) (beside, flood Result, err error) {
	var floodErr error
	beside, err = quiet.measureUntil(ctx, CaseTenants, func(begin time.Duration) time.Duration {
		floodErr = quiet.openBeside(ctx, tenantRate, func() (err error) {
			flood, err = busy.measureFlood(ctx)
			return err
		})
		length := time.Duration((flood.Seconds + flood.DrainSeconds) * float64(time.Second))
		return begin + max(length, 1)
	})
	return beside, flood, errors.Join(floodErr, err)
}

// measureFlood publishes the spec's number of events. Its window ends with the last 202.
func (r *run) measureFlood(ctx context.Context) (Result, error) {
	var refused error
	result, err := r.measureUntil(ctx, rowFlood, func(time.Duration) time.Duration {
		refused = r.flood(ctx)
		return r.now()
	})
	return result, errors.Join(refused, err)
}

// flood publishes the spec's number of events in batches, over as many connections as there are publishers.
func (r *run) flood(ctx context.Context) error {
	batches := (r.spec.Flood + batchSize - 1) / batchSize
	return r.each(ctx, batches, func(ctx context.Context, i int) error {
		return r.insist(ctx, min(batchSize, r.spec.Flood-i*batchSize))
	})
}

// insist publishes batches of new events until one is accepted.
func (r *run) insist(ctx context.Context, size int) error {
	for range floodTries {
		if r.publishBatch(ctx, size) {
			return nil
		}
		if err := wait.For(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("no batch of the flood was accepted in %d tries", floodTries)
}

// compareTo fills in how many times another row's p50 and p99 this one's are.
func (r *Result) compareTo(other *Result) {
	if other.Receive.P50 > 0 {
		r.RatioP50 = r.Receive.P50 / other.Receive.P50
	}
	if other.Receive.P99 > 0 {
		r.Ratio = r.Receive.P99 / other.Receive.P99
	}
}

// compareTenants fills in the ratios and the notes. The processor time of the quiet tenant's row is dropped: nearly
// all of it is for the flood.
func compareTenants(alone, beside, flood *Result) {
	beside.CPU = nil
	beside.compareTo(alone)
	alone.Note = fmt.Sprintf("%d/s of one tenant", tenantRate)
	beside.Note = fmt.Sprintf("%d/s beside the flood of another tenant: p50 is %.2f times, p99 %.2f times that of the tenant alone", tenantRate, beside.RatioP50, beside.Ratio)
	flood.Note = fmt.Sprintf("%d events in batches of %d, accepted at %.0f/s, all delivered %.1f s after the first",
		flood.Events, batchSize, flood.AcceptedPerSecond, flood.Seconds+flood.DrainSeconds)
}
