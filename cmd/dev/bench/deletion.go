package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/wait"
)

const (
	rowUndisturbed = CaseDeletion + " before"
	// deletionRate is the number of events per second of the tenant that stays.
	deletionRate = 100
	// deletionPoll is the interval of asking whether the other tenant is gone.
	deletionPoll = 500 * time.Millisecond
)

// runDeletion measures a tenant alone, and while another one with the spec's number of stored deliveries is deleted.
func runDeletion(ctx context.Context, spec Spec) ([]Result, error) {
	if spec.Database == "" {
		return nil, errors.New("no database to store deliveries in")
	}
	r, err := startSimple(ctx, spec, 1)
	if err != nil {
		return nil, err
	}
	defer r.close()
	name := r.customer(0)
	id, err := r.client.putTenant(ctx, name)
	if err != nil {
		return nil, err
	}
	if _, err := fillStore(ctx, spec.Database, id, spec.Stored); err != nil {
		return nil, err
	}
	if err := r.warmUp(ctx, func(d time.Duration) { r.open(ctx, deletionRate, d) }); err != nil {
		return nil, err
	}
	before, err := r.measure(ctx, rowUndisturbed, func() { r.open(ctx, deletionRate, spec.Window) })
	if err != nil {
		return nil, err
	}
	var took time.Duration
	var deletion error
	during, err := r.measureUntil(ctx, CaseDeletion, func(begin time.Duration) time.Duration {
		deletion = r.openBeside(ctx, deletionRate, func() error { return r.client.deleteTenant(ctx, name) })
		took = r.now() - begin
		return r.now()
	})
	during.compareTo(&before)
	during.Note = fmt.Sprintf("%d/s of one tenant while another with %d stored deliveries is deleted, in %.1f s: p50 is %.2f times, p99 %.2f times that of before",
		deletionRate, spec.Stored, took.Seconds(), during.RatioP50, during.Ratio)
	return []Result{before, during}, errors.Join(err, deletion)
}

// putTenant makes a tenant with an external id and returns its id.
func (c *client) putTenant(ctx context.Context, name string) (hook.TenantID, error) {
	status, answer, err := c.send(ctx, http.MethodPut, "/v1/tenants/"+name, []byte(`{}`))
	if err != nil || status != http.StatusCreated {
		return hook.TenantID{}, fmt.Errorf("put tenant: HTTP %d %s: %w", status, answer, err)
	}
	var tenant struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(answer, &tenant); err != nil {
		return hook.TenantID{}, err
	}
	return hook.ParseTenantID(tenant.ID)
}

// deleteTenant deletes a tenant and waits until it is gone.
func (c *client) deleteTenant(ctx context.Context, name string) error {
	path := "/v1/tenants/" + name
	if status, answer, err := c.send(ctx, http.MethodDelete, path, nil); err != nil || status != http.StatusAccepted {
		return fmt.Errorf("delete tenant: HTTP %d %s: %w", status, answer, err)
	}
	for {
		if err := wait.For(ctx, deletionPoll); err != nil {
			return err
		}
		switch status, answer, err := c.send(ctx, http.MethodGet, path, nil); {
		case err == nil && status == http.StatusNotFound:
			return nil
		case err != nil || status != http.StatusOK:
			return fmt.Errorf("get a tenant that is being deleted: HTTP %d %s: %w", status, answer, err)
		}
	}
}
