package activities_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// deleteTenant runs the deletion of the tenant to its end, run after run, as Temporal does.
func (b *bench) deleteTenant() (r contract.DeletionResult, whys []string, err error) {
	b.Helper()
	for range 1000 {
		env := newEnvironment(b.Context())
		env.RegisterActivityWithOptions(b.acts.DeleteTenant, activity.RegisterOptions{Name: "DeleteTenant"})
		value, err := env.ExecuteActivity(b.acts.DeleteTenant, contract.DeletionInput{TenantID: hook.DefaultTenant()})
		if err == nil {
			require.NoError(b, value.Get(&r))
			return r, whys, nil
		}
		var app *temporal.ApplicationError
		if !errors.As(err, &app) || app.NonRetryable() {
			return r, whys, err
		}
		whys = append(whys, app.Message())
		due := b.store.DeletionDue()
		require.False(b, !due.IsZero() && due.Before(time.Now().Add(app.NextRetryDelay())), "a sweeper leaves it alone meanwhile")
		<-time.After(app.NextRetryDelay())
	}
	return r, whys, errors.New("it never ends")
}

// K8: the deletion goes on until nothing is left, through outages of the store, and what was pending is canceled.
func TestDeleteTenant(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"", storagetest.OpDeletionStep, storagetest.OpDeletionSleeps} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				for range 50 {
					b.store.AddWebhook(urlA, nil)
				}
				webhook := b.store.AddWebhook(urlB, nil)
				for range 450 {
					b.store.Publish(eventType, payload, webhook)
				}
				b.store.DeleteTenant()
				fails := 3
				b.store.Fail = func(at string) error {
					if at == op && fails > 0 {
						fails--
						return hook.Unavailable("the store", errors.New("away"))
					}
					return nil
				}
				r, whys, err := b.deleteTenant()
				require.NoError(b, err)
				require.Equal(b, contract.DeletionResult{Webhooks: 51, Events: 450, Deliveries: 450, Canceled: 450}, r)
				require.Equal(b, op == storagetest.OpDeletionStep, len(whys) > 0)
				require.Empty(b, b.store.Deliveries(webhook))
				r, _, err = b.deleteTenant()
				require.NoError(b, err, "a run after the last step finds no tenant")
				require.Zero(b, r)
			})
		})
	}
}

// K8: nothing is sent for a suspended tenant, by hand neither. When it is active again, its deliveries are sent.
func TestSuspendedTenant(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		webhook := b.store.AddWebhook(urlA, nil)
		start := b.store.Publish(eventType, payload, webhook)
		b.sender.Script(urlA, storagetest.Status(200))
		b.store.SuspendTenant(true)
		r, err := b.deliver(start)
		require.NoError(b, err)
		require.Equal(b, hook.WaitSuspended, r.Outcomes[0].Deferred)
		_, err = b.sendNow(b.store.Test(eventType, payload, webhook))
		var app *temporal.ApplicationError
		require.ErrorAs(b, err, &app)
		require.Equal(b, contract.ErrorRefused, app.Type())
		var kind hook.Kind
		require.NoError(b, app.Details(&kind))
		require.Equal(b, hook.KindSuspended, kind)
		require.Empty(b, b.sender.Requests(urlA))
		b.during(30*time.Hour, func() { b.store.SuspendTenant(false) })
		d := b.drainer(webhook)
		_, err = d.all()
		require.NoError(b, err)
		require.Contains(b, d.whys[0], "the tenant is suspended since")
		require.Len(b, b.sender.Requests(urlA), 1)
	})
}
