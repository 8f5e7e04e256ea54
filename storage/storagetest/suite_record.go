package storagetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// recordCases test the states of a delivery (S12, S13).
func recordCases() map[string]func(*world) {
	return map[string]func(*world){
		"a success ends the delivery": func(w *world) {
			d := w.attempt(w.delivery(w.webhook()), Status(204))
			w.requireEnded(d, hook.StateSuccess, "")
			require.Equal(w.t, 204, d.StatusCode)
			require.NotNil(w.t, d.DeliveredAt)
		},
		"a failure is tried again by the schedule": func(w *world) {
			d := w.attempt(w.delivery(w.webhook()), Status(500))
			require.Equal(w.t, hook.StateFailed, d.State)
			require.Equal(w.t, "HTTP 500 Internal Server Error", d.Error)
			require.Equal(w.t, []int{1, 1}, []int{d.Attempts, d.Scheduled})
			require.WithinDuration(w.t, w.Now().Add(30*time.Second), *d.NextAttemptAt, 5*time.Second)
		},
		"the fifth failure is the last": func(w *world) {
			id := w.delivery(w.webhook())
			for range hook.MaxAttempts - 1 {
				d := w.attempt(id, Status(500))
				require.True(w.t, d.Outstanding())
			}
			d := w.attempt(id, Hang())
			w.requireEnded(d, hook.StateFailed, "Connection timeout")
			require.Equal(w.t, 500, d.StatusCode, "the last status that came")
		},
		"what is recorded twice counts once": recordTwice,
		"a scheduled attempt that is made twice counts once on the schedule": func(w *world) {
			id := w.delivery(w.webhook())
			late := w.result(id, Status(503), false)
			before := w.attempt(id, Status(500))
			d := w.record(late)
			require.Equal(w.t, []int{2, 1}, []int{d.Attempts, d.Scheduled})
			require.Equal(w.t, before.NextAttemptAt, d.NextAttemptAt)
			require.Equal(w.t, before.Error, d.Error)
			for range hook.MaxAttempts - 2 {
				d := w.attempt(id, Status(500))
				require.True(w.t, d.Outstanding())
			}
			w.requireEnded(w.attempt(id, Status(500)), hook.StateFailed, before.Error)
			require.Len(w.t, w.ReadLog(w.t, id), hook.MaxAttempts+1)
		},
		"a run that was late leaves a delivery that has ended as it is": func(w *world) {
			id := w.delivery(w.webhook())
			late := w.result(id, Status(503), false)
			for range hook.MaxAttempts {
				w.attempt(id, Status(500))
			}
			w.requireEnded(w.record(late), hook.StateFailed, "HTTP 500 Internal Server Error")
		},
		"a run that was late and succeeds ends the delivery": func(w *world) {
			id := w.delivery(w.webhook())
			late := w.result(id, Status(200), false)
			w.attempt(id, Status(500))
			w.requireEnded(w.record(late), hook.StateSuccess, "")
		},
		"an attempt is in the log as it was": func(w *world) {
			id := w.delivery(w.webhook())
			w.attempt(id, Status(500).Body("no"))
			w.byHand(id, Refused())
			log := w.ReadLog(w.t, id)
			require.Len(w.t, log, 2)
			require.Equal(w.t, []int{1, 2}, []int{log[0].Number, log[1].Number})
			require.Equal(w.t, []bool{false, true}, []bool{log[0].Manual, log[1].Manual})
			require.Equal(w.t, []byte("no"), log[0].ResponseBody)
			require.Equal(w.t, hook.ClassRefused, log[1].Class)
		},
		"several deliveries are recorded at once": func(w *world) {
			first, second := w.webhook(), w.webhook()
			event := w.publish()
			states := w.states(event)
			recorded, err := w.Record(w.t.Context(), []hook.Record{
				w.result(states[first].ID, Status(200), false), w.result(states[second].ID, Status(500), false),
			})
			require.NoError(w.t, err)
			require.Len(w.t, recorded.Deliveries, 2)
			states = w.states(event)
			require.Equal(w.t, hook.StateSuccess, states[first].State)
			require.Equal(w.t, hook.StateFailed, states[second].State)
		},

		"a failure by hand leaves the schedule as it is": func(w *world) {
			id := w.delivery(w.webhook())
			before := w.attempt(id, Status(500))
			d := w.byHand(id, Status(503))
			require.Equal(w.t, []int{2, 1}, []int{d.Attempts, d.Scheduled})
			require.Equal(w.t, before.NextAttemptAt, d.NextAttemptAt)
			require.Equal(w.t, "HTTP 503 Service Unavailable", d.Error)
		},
		"a success by hand ends the schedule": func(w *world) {
			id := w.delivery(w.webhook())
			w.attempt(id, Status(500))
			w.requireEnded(w.byHand(id, Status(200)), hook.StateSuccess, "")
		},
		"a delivery that succeeded stays a success": func(w *world) {
			id := w.delivery(w.webhook())
			delivered := w.attempt(id, Status(200)).DeliveredAt
			d := w.byHand(id, Status(500))
			w.requireEnded(d, hook.StateSuccess, "")
			require.Equal(w.t, []any{2, 500, delivered}, []any{d.Attempts, d.StatusCode, d.DeliveredAt})
		},
		"a message that gets no answer times out": func(w *world) {
			w.requireEnded(w.attempt(w.message(w.messageWebhook()), Hang()), hook.StateTimedOut, "Connection timeout")
		},
		"a message retried by hand that gets no answer times out": func(w *world) {
			id := w.message(w.messageWebhook())
			w.requireEnded(w.attempt(id, Status(500)), hook.StateFailed, "HTTP 500 Internal Server Error")
			w.requireEnded(w.byHand(id, Hang()), hook.StateTimedOut, "Connection timeout")
		},

		"canceled during an attempt that fails": func(w *world) {
			id := w.delivery(w.webhook())
			r := w.result(id, Status(500), false)
			w.cancel(id)
			d := w.record(r)
			w.requireEnded(d, hook.StateCanceled, hook.TextWebhookDeleted)
			require.Equal(w.t, 1, d.Attempts)
		},
		"canceled during an attempt by hand that fails": func(w *world) {
			id := w.delivery(w.webhook())
			r := w.result(id, Status(500), true)
			w.cancel(id)
			w.requireEnded(w.record(r), hook.StateCanceled, hook.TextWebhookDeleted)
		},
		"canceled during an attempt that succeeds": func(w *world) {
			id := w.delivery(w.webhook())
			r := w.result(id, Status(200), false)
			w.cancel(id)
			w.requireEnded(w.record(r), hook.StateSuccess, "")
		},
		"canceled before an attempt by hand that fails": func(w *world) {
			id := w.delivery(w.webhook())
			w.cancel(id)
			w.requireEnded(w.byHand(id, Status(500)), hook.StateFailed, "HTTP 500 Internal Server Error")
		},
		"disabled during an attempt that fails": func(w *world) {
			webhook := w.webhook()
			id := w.delivery(webhook)
			r := w.result(id, Status(500), false)
			w.disable(webhook)
			w.requireEnded(w.record(r), hook.StateCanceled, hook.TextWebhookDisabled)
		},
		"disabled during an attempt by hand that fails": func(w *world) {
			webhook := w.webhook()
			id := w.delivery(webhook)
			r := w.result(id, Status(500), true)
			w.disable(webhook)
			w.requireEnded(w.record(r), hook.StateCanceled, hook.TextWebhookDisabled)
		},
		"deleted during an attempt that fails": func(w *world) {
			webhook := w.webhook()
			id := w.delivery(webhook)
			r := w.result(id, Status(500), false)
			w.RemoveWebhook(w.t, webhook)
			w.requireEnded(w.record(r), hook.StateCanceled, hook.TextWebhookDeleted)
		},
		"deleted during an attempt that succeeds": func(w *world) {
			webhook := w.webhook()
			id := w.delivery(webhook)
			r := w.result(id, Status(200), false)
			w.RemoveWebhook(w.t, webhook)
			w.requireEnded(w.record(r), hook.StateSuccess, "")
		},
		"a test is attempted once": func(w *world) {
			w.requireEnded(w.attempt(w.AddTest(w.t, w.webhook()), Status(500)), hook.StateFailed, "HTTP 500 Internal Server Error")
		},
	}
}

// recordTwice records attempts again, as if the answer to the first recording was lost.
func recordTwice(w *world) {
	webhook := w.webhook()
	for _, o := range []Outcome{Status(500), Status(200)} {
		id := w.delivery(webhook)
		for _, manual := range []bool{true, false} {
			r := w.result(id, o, manual)
			recorded := w.record(r)
			require.Equal(w.t, recorded, w.record(r))
		}
		require.Len(w.t, w.ReadLog(w.t, id), 2)
	}
}
