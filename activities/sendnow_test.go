package activities_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// S13: a delivery in any state can be sent by hand; the rest of its schedule stays as it is.
func TestSendNowWhateverItsState(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, nil)
		b.sender.Script(urlA, storagetest.Status(200), storagetest.Status(500))
		b.store.Publish(eventType, payload, a)

		o, err := b.sendNow(b.store.Delivery(a))
		require.NoError(b, err)
		require.Equal(b, hook.StateSuccess, o.State)
		require.Nil(b, b.store.Delivery(a).NextAttemptAt, "a success ends the delivery")

		o, err = b.sendNow(b.store.Delivery(a))
		require.NoError(b, err)
		require.Equal(b, hook.StateSuccess, o.State, "what has succeeded stays a success")
		require.Equal(b, 2, o.Attempts)
		require.Equal(b, "2", b.sender.Requests(urlA)[1].Header.Get("X-Webhook-Attempt"))
		for _, logged := range b.store.Log(o.DeliveryID) {
			require.True(b, logged.Manual)
		}
	})
}

// Retries by hand use none of the schedule's five attempts.
func TestSendNowKeepsTheSchedule(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, nil)
		b.sender.Script(urlA, storagetest.Status(500))
		s := b.store.Publish(eventType, payload, a)
		for range 3 {
			_, err := b.sendNow(b.store.Delivery(a))
			require.NoError(b, err)
		}
		_, err := b.deliver(s)
		b.asked(err, contract.ErrorOutstanding, 30*time.Second)
		d := b.store.Delivery(a)
		require.Equal(b, 4, d.Attempts)
		require.Equal(b, 1, d.Scheduled)
	})
}

// Spec 9: 410 disables the webhook for any kind of attempt but a test.
func TestSendNowMeetsGone(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, nil)
		b.sender.Script(urlA, storagetest.Status(410))
		b.store.Publish(eventType, payload, a)
		_, err := b.sendNow(b.store.Test(eventType, payload, a))
		require.NoError(b, err)
		require.True(b, b.store.Webhook(a).Active)
		_, err = b.sendNow(b.store.Delivery(a))
		require.NoError(b, err)
		require.Equal(b, hook.ReasonGone, b.store.Webhook(a).DisabledReason)
		require.Equal(b, hook.StateCanceled, b.store.Delivery(a).State)
	})
}

func TestSendNowFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(b *bench, a hook.WebhookID)
		text  string
		typ   string
		sent  int
	}{
		"webhook deleted": {func(b *bench, a hook.WebhookID) { b.store.LoseWebhook(a, false) }, "send: precondition", contract.ErrorRefused, 0},
		"webhook off":     {func(b *bench, a hook.WebhookID) { b.store.LoseWebhook(a, true) }, "send: precondition", contract.ErrorRefused, 0},
		"store away": {func(b *bench, _ hook.WebhookID) {
			b.store.Fail = func(string) error { return hook.Unavailable("the store", errors.New("away")) }
		}, "load delivery: unavailable", contract.ErrorOurs, 0},
		"we can not send": {func(b *bench, _ hook.WebhookID) {
			b.sender.Script(urlA, storagetest.Ours(errors.New("out of sockets")))
		}, "send: internal", contract.ErrorOurs, 0},
		"store away after sending": {func(b *bench, _ hook.WebhookID) {
			b.store.Fail = func(op string) error {
				if op == storagetest.OpRecord {
					return hook.Unavailable("the store", errors.New("away"))
				}
				return nil
			}
		}, "record attempt: unavailable", contract.ErrorOurs, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				a := b.store.AddWebhook(urlA, nil)
				b.store.Publish(eventType, payload, a)
				c.spoil(b, a)
				_, err := b.sendNow(b.store.Delivery(a))
				var app *temporal.ApplicationError
				require.ErrorAs(b, err, &app)
				require.Equal(b, c.text, app.Message())
				require.Equal(b, c.typ, app.Type())
				require.Len(b, b.sender.Requests(urlA), c.sent)
				require.Zero(b, b.store.Delivery(a).Attempts)
			})
		})
	}
}

func TestSendNowOfAnUnknownDelivery(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		_, err := b.sendNow(hook.Delivery{ID: hook.DeliveryID{15: 9}})
		var app *temporal.ApplicationError
		require.ErrorAs(b, err, &app)
		require.Equal(b, contract.ErrorRefused, app.Type())
	})
}

// S11: a test that the API has dropped is not sent, not even by a worker that has loaded it
// already; a test that has begun is not dropped.
func TestSendNowOfADroppedTest(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, nil)
		d := b.store.Test(eventType, payload, a)
		b.store.Fail = func(op string) error {
			if op == storagetest.OpBeginTest {
				b.store.DropTest(d.ID)
			}
			return nil
		}
		_, err := b.sendNow(d)
		var app *temporal.ApplicationError
		require.ErrorAs(b, err, &app)
		require.Equal(b, "begin test: not_found", app.Message())
		require.Equal(b, contract.ErrorRefused, app.Type())
		require.Empty(b, b.sender.Requests(urlA))
	})
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, nil)
		d := b.store.Test(eventType, payload, a)
		b.store.Fail = func(op string) error {
			if op == storagetest.OpRecord {
				b.store.DropTest(d.ID)
			}
			return nil
		}
		_, err := b.sendNow(d)
		require.NoError(b, err)
		require.Len(b, b.sender.Requests(urlA), 1)
		require.Len(b, b.store.Log(d.ID), 1, "it is in the log")
	})
}
