package bench

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"grapnel/cmd/dev/stack"
)

// start returns a run as the spec says: of the key's own tenant, or of many.
func start(ctx context.Context, spec Spec, endpoints int) (*run, error) {
	if spec.Tenants == 0 {
		return startSimple(ctx, spec, endpoints)
	}
	return startCustomers(ctx, spec)
}

// startCustomers returns a run whose events are of many tenants in turn. Each tenant has the event type and a webhook of its
// own, all at the same receiver, and one platform key acts for all of them.
func startCustomers(ctx context.Context, spec Spec) (*run, error) {
	r, err := startRun(ctx, spec)
	if err != nil {
		return nil, err
	}
	eventType := r.eventType(0)
	r.typeOf = func(int) string { return eventType }
	r.tenantOf = func(n int) string { return r.customer(n % spec.Tenants) }
	r.endpointsOf = func(n int) (int, int) { return n % spec.Tenants, 1 }
	err = r.each(ctx, spec.Tenants, func(ctx context.Context, i int) error {
		name := r.customer(i)
		if _, err := r.client.putTenant(ctx, name); err != nil {
			return err
		}
		if err := r.client.createType(ctx, name, eventType); err != nil {
			return err
		}
		return r.client.createWebhook(ctx, name, eventType, r.endpoint(i))
	})
	if err == nil {
		err = renewStatistics(ctx, spec.Database)
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// renewStatistics does what autovacuum does within a minute or two after many tenants were made. Before, plans that are
// kept from the time of few tenants read all of them for each event.
func renewStatistics(ctx context.Context, databaseURL string) error {
	if databaseURL == "" {
		return nil
	}
	return stack.OnDatabase(ctx, databaseURL, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `analyze tenants, api_keys, event_types, webhooks, subscriptions`)
		return err
	})
}

// customer returns the external id of a tenant, which no other run uses.
func (r *run) customer(i int) string { return fmt.Sprintf("bench-%d-%d", r.begin.UnixNano(), i) }

// noted notes in a row for how many tenants it is.
func (r *run) noted(row Result, err error) (Result, error) {
	if r.spec.Tenants > 0 {
		row.Note = fmt.Sprintf("%d tenants in turn, with one platform key. ", r.spec.Tenants) + row.Note
	}
	return row, err
}
