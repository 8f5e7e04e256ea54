package storage_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// step is one event in the life of a delivery.
type step struct {
	// attempt is recorded by spec 1's schedule.
	attempt *hook.Attempt
	// cancel cancels the delivery; if attempt is set, while the attempt is in progress.
	cancel bool
}

func attempted(a hook.Attempt) step { return step{attempt: &a} }

func canceledDuring(a hook.Attempt) step { return step{attempt: &a, cancel: true} }

func canceled() step { return step{cancel: true} }

// take applies the step and returns the delivery's new state.
func (f *fixture) take(t *testing.T, id hook.DeliveryID, s step) hook.Delivery {
	t.Helper()
	job, err := f.Job(t.Context(), id)
	require.NoError(t, err)
	if s.cancel {
		require.NoError(t, f.CancelDeliveries(t.Context(), []hook.DeliveryID{id}, hook.TextWebhookDeleted))
	}
	if s.attempt == nil {
		return f.read(t, id)
	}
	d := f.record(t, storagetest.RecordOf(&job, *s.attempt))
	require.Equal(t, d, f.read(t, id), "what Record returns is what is stored")
	return d
}

// S12, S13: the states of a delivery, step by step. The texts are the seed's.
func TestRecord(t *testing.T) {
	t.Parallel()
	f := setup(t)
	ok, fails, hand := attempted(answered(200)), attempted(answered(500)), byHand
	for name, test := range map[string]struct {
		steps       []step
		state       hook.DeliveryState
		statusCode  int
		err         string
		attempts    int
		scheduled   int
		outstanding bool
	}{
		"success": {
			steps: []step{ok}, state: hook.StateSuccess, statusCode: 200, attempts: 1, scheduled: 1,
		},
		"a failure that will be tried again": {
			steps: []step{fails}, state: hook.StateFailed, statusCode: 500, err: "HTTP 500 Internal Server Error",
			attempts: 1, scheduled: 1, outstanding: true,
		},
		"a failure without a status": {
			steps: []step{attempted(timedOut())}, state: hook.StateFailed, err: "Connection timeout",
			attempts: 1, scheduled: 1, outstanding: true,
		},
		"500, 500, time-out: the seed's example but for what remains": {
			steps: []step{fails, fails, attempted(timedOut())}, state: hook.StateFailed, statusCode: 500, err: "Connection timeout",
			attempts: 3, scheduled: 3, outstanding: true,
		},
		"five failures are for good": {
			steps: []step{fails, fails, fails, fails, attempted(answered(503))}, state: hook.StateFailed, statusCode: 503,
			err: "HTTP 503 Service Unavailable", attempts: 5, scheduled: 5,
		},
		"success on the fifth": {
			steps: []step{fails, fails, fails, fails, ok}, state: hook.StateSuccess, statusCode: 200, attempts: 5, scheduled: 5,
		},
		"the last status is kept through errors without one": {
			steps: []step{attempted(answered(404)), fails, attempted(broken(hook.ClassRefused, "Connection refused"))},
			state: hook.StateFailed, statusCode: 500, err: "Connection refused", attempts: 3, scheduled: 3, outstanding: true,
		},
		"by hand, failed: the schedule stays": {
			steps: []step{attempted(hand(answered(500)))}, state: hook.StateFailed, statusCode: 500,
			err: "HTTP 500 Internal Server Error", attempts: 1, outstanding: true,
		},
		"by hand, succeeded: the schedule ends": {
			steps: []step{fails, attempted(hand(answered(204)))}, state: hook.StateSuccess, statusCode: 204, attempts: 2, scheduled: 1,
		},
		"by hand after the schedule's end, failed": {
			steps: []step{fails, fails, fails, fails, fails, attempted(hand(timedOut()))}, state: hook.StateFailed, statusCode: 500,
			err: "Connection timeout", attempts: 6, scheduled: 5,
		},
		"by hand after the schedule's end, succeeded": {
			steps: []step{fails, fails, fails, fails, fails, attempted(hand(answered(200)))}, state: hook.StateSuccess, statusCode: 200,
			attempts: 6, scheduled: 5,
		},
		"success stays, whatever comes of a later attempt by hand": {
			steps: []step{ok, attempted(hand(answered(500)))}, state: hook.StateSuccess, statusCode: 500, attempts: 2, scheduled: 1,
		},
		"success stays when another attempt was under way": {
			steps: []step{ok, fails}, state: hook.StateSuccess, statusCode: 500, attempts: 2, scheduled: 2,
		},
		"canceled before any attempt": {
			steps: []step{canceled()}, state: hook.StateCanceled, err: "Webhook deleted",
		},
		"canceled between attempts": {
			steps: []step{fails, canceled()}, state: hook.StateCanceled, statusCode: 500, err: "Webhook deleted", attempts: 1, scheduled: 1,
		},
		"canceled during an attempt that fails": {
			steps: []step{canceledDuring(answered(500))}, state: hook.StateCanceled, statusCode: 500, err: "Webhook deleted",
			attempts: 1, scheduled: 1,
		},
		"canceled during an attempt by hand that fails": {
			steps: []step{canceledDuring(hand(answered(500)))}, state: hook.StateCanceled, statusCode: 500, err: "Webhook deleted", attempts: 1,
		},
		"canceled during an attempt that succeeds": {
			steps: []step{canceledDuring(answered(200))}, state: hook.StateSuccess, statusCode: 200, attempts: 1, scheduled: 1,
		},
		"canceled, then by hand, failed": {
			steps: []step{canceled(), attempted(hand(answered(500)))}, state: hook.StateFailed, statusCode: 500,
			err: "HTTP 500 Internal Server Error", attempts: 1,
		},
		"canceled, then by hand, succeeded": {
			steps: []step{canceled(), attempted(hand(answered(200)))}, state: hook.StateSuccess, statusCode: 200, attempts: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id := f.delivery(t, f.webhook(t))
			var d hook.Delivery
			for i, s := range test.steps {
				before := f.read(t, id)
				d = f.take(t, id, s)
				if s.attempt == nil {
					continue
				}
				require.Equal(t, before.Attempts+1, d.Attempts, "step %d", i)
				if s.attempt.Manual && !s.attempt.Succeeded() && !s.cancel {
					require.Equal(t, before.NextAttemptAt, d.NextAttemptAt, "the schedule is not touched")
				}
			}
			require.Equal(t, test.state, d.State)
			require.Equal(t, test.statusCode, d.StatusCode)
			require.Equal(t, test.err, d.Error)
			require.Equal(t, test.attempts, d.Attempts)
			require.Equal(t, test.scheduled, d.Scheduled)
			require.Equal(t, test.outstanding, d.Outstanding())
			require.Equal(t, test.state == hook.StateSuccess, d.DeliveredAt != nil)

			log, err := f.Attempts(t.Context(), id)
			require.NoError(t, err)
			require.Len(t, log, test.attempts)
			for i, a := range log {
				require.Equal(t, i+1, a.Number, "attempts are numbered consecutively")
			}
		})
	}
}

// S12: if the last of three attempts times out, the delivery is exactly the seed's
// {"status":"failed","status_code":500,"attempts":3,"error":"Connection timeout"}.
func TestRecordTheSeedsExample(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.delivery(t, f.webhook(t, func(w *hook.Webhook) { w.MaxAttempts = 3 }))
	for _, a := range []hook.Attempt{answered(500), answered(500), timedOut()} {
		f.attempt(t, id, a)
	}
	d := f.read(t, id)
	require.Equal(t, hook.StateFailed, d.State)
	require.Equal(t, 500, d.StatusCode)
	require.Equal(t, 3, d.Attempts)
	require.Equal(t, "Connection timeout", d.Error)
	require.Nil(t, d.NextAttemptAt)
	require.Nil(t, d.DeliveredAt)
}

// S11, S13: a test that is sent again by hand shows the last attempt's error.
func TestRecordATestSentAgain(t *testing.T) {
	t.Parallel()
	f := setup(t)
	test1, err := f.CreateTest(t.Context(), f.webhook(t), hook.Publication{Type: "user.created", Data: []byte(`{}`)})
	require.NoError(t, err)
	f.attempt(t, test1.ID, answered(500))
	d := f.attempt(t, test1.ID, broken(hook.ClassRefused, "Connection refused"))
	require.Equal(t, hook.StateFailed, d.State)
	require.Equal(t, "Connection refused", d.Error)
	require.Equal(t, 500, d.StatusCode)
	require.False(t, d.Outstanding())
	d = f.attempt(t, test1.ID, answered(200))
	require.Equal(t, hook.StateSuccess, d.State)
}

// Spec 1: the delays are 30 s, 5 min, 30 min and 2 h, each from the end of the previous attempt, however late that
// was recorded.
func TestRecordSchedulesFromTheAttemptsEnd(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.delivery(t, f.webhook(t))
	for _, delay := range []time.Duration{30 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour} {
		a := answered(500)
		a.StartedAt = time.Now().Add(-15 * time.Second)
		a.Duration = 5 * time.Second // it ended 10 s ago
		f.attempt(t, id, a)
		job, err := f.Job(t.Context(), id)
		require.NoError(t, err)
		require.InDelta(t, (delay - 10*time.Second).Seconds(), job.DueIn.Seconds(), 5)
	}

	// If the delay has already passed, the next attempt is due at once.
	late := f.delivery(t, f.webhook(t))
	a := answered(500)
	a.StartedAt = time.Now().Add(-time.Hour)
	f.attempt(t, late, a)
	job, err := f.Job(t.Context(), late)
	require.NoError(t, err)
	require.InDelta(t, 0, job.DueIn.Seconds(), 5)
}

// S13: every attempt is logged with all its fields.
func TestAttemptIsReadAsItWasRecorded(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.delivery(t, f.webhook(t))
	want := hook.Attempt{
		DeliveryID: id, Number: 1, Manual: true, URL: "https://example.com/x?y=é",
		StartedAt: time.Now().UTC().Truncate(time.Microsecond), Duration: 1234567 * time.Microsecond,
		Timings: hook.Timings{
			DNS: 1 * time.Millisecond, Connect: 2 * time.Millisecond, TLS: 3 * time.Millisecond, FirstByte: 4 * time.Millisecond,
		},
		RemoteAddr:      "[2001:db8::1]:443",
		RequestHeaders:  http.Header{"Content-Type": {"application/json"}, "momento-signature": {"ab"}, "X-Two": {"1", "2"}},
		StatusCode:      503,
		ResponseHeaders: http.Header{"Set-Cookie": {"a=b", "c=d"}, "X-Empty": {""}},
		ResponseBody:    []byte("out of order"), Class: hook.ClassStatus, Error: "HTTP 503 Service Unavailable",
	}
	f.attempt(t, id, want)
	without := broken(hook.ClassDNS, "DNS lookup failed")
	f.attempt(t, id, without)

	log, err := f.Attempts(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, log, 2)
	require.Equal(t, want, log[0])
	require.Zero(t, log[1].StatusCode)
	require.Nil(t, log[1].ResponseHeaders)
	require.Nil(t, log[1].ResponseBody)
	require.Equal(t, hook.ClassDNS, log[1].Class)
	require.Empty(t, log[1].RemoteAddr)
}

// S13, S16: the bytes of any answer are logged. They must not prevent the recording of the attempt or of others in
// its transaction.
func TestRecordHostileAnswers(t *testing.T) {
	t.Parallel()
	body := make([]byte, 256)
	for i := range body {
		body[i] = byte(i)
	}
	f := setup(t)
	hostile := "a\x00b\xff\xfec\u2028"
	for name, change := range map[string]func(*hook.Attempt){
		"body of every byte":          func(a *hook.Attempt) { a.ResponseBody = body },
		"empty body":                  func(a *hook.Attempt) { a.ResponseBody = []byte{} },
		"NUL and no UTF-8 in headers": func(a *hook.Attempt) { a.ResponseHeaders = http.Header{"X-Bad": {hostile, "\x00"}} },
		"in a header's name":          func(a *hook.Attempt) { a.ResponseHeaders = http.Header{"X-" + hostile: {"v"}} },
		"in the error":                func(a *hook.Attempt) { a.Error = "TLS certificate verification failed: " + hostile },
		"in the address":              func(a *hook.Attempt) { a.RemoteAddr = hostile },
		"in our own headers":          func(a *hook.Attempt) { a.RequestHeaders = http.Header{"X-Bad": {hostile}} },
		"a status of any number":      func(a *hook.Attempt) { a.StatusCode = 999 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := f.webhook(t)
			var records []hook.Record
			for i := range 2 {
				job, err := f.Job(t.Context(), f.delivery(t, w))
				require.NoError(t, err)
				a := answered(500)
				if i == 0 {
					change(&a)
				}
				records = append(records, storagetest.RecordOf(&job, a))
			}
			list, err := f.recorded(t.Context(), records)
			require.NoError(t, err)
			require.Len(t, list, 2)
			log, err := f.Attempts(t.Context(), records[0].Delivery.ID)
			require.NoError(t, err)
			require.Len(t, log, 1)
			sent := records[0].Attempt
			require.Equal(t, sent.ResponseBody, log[0].ResponseBody, "byte for byte")
			require.Equal(t, sent.StatusCode, log[0].StatusCode)
			require.Len(t, log[0].ResponseHeaders, len(sent.ResponseHeaders))
			if values := sent.ResponseHeaders["X-Bad"]; values != nil {
				require.Equal(t, []string{"a\uFFFDb\uFFFDc\u2028", "\uFFFD"}, log[0].ResponseHeaders["X-Bad"])
			}
		})
	}
}

// One call records many deliveries. A delivery that no longer exists does not affect the others.
func TestRecordMany(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	var records []hook.Record
	for i := range 30 {
		job, err := f.Job(t.Context(), f.delivery(t, w))
		require.NoError(t, err)
		a := answered(200)
		if i%3 == 0 {
			a = answered(500 + i)
		}
		records = append(records, storagetest.RecordOf(&job, a))
	}
	gone, err := f.CreateTest(t.Context(), w, hook.Publication{Type: "user.created", Data: []byte(`{}`)})
	require.NoError(t, err)
	job, err := f.Job(t.Context(), gone.ID)
	require.NoError(t, err)
	require.NoError(t, f.DropTest(t.Context(), gone))
	list, err := f.recorded(t.Context(), append(records, storagetest.RecordOf(&job, answered(200))))
	require.NoError(t, err)
	require.Len(t, list, 30)
	for _, r := range records {
		d := f.read(t, r.Delivery.ID)
		require.Contains(t, list, d)
		require.Equal(t, r.Attempt.StatusCode, d.StatusCode)
		require.Equal(t, r.Verdict.State, d.State)
	}
	list, err = f.recorded(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, list)
}

// S13: attempts that are recorded at the same time are numbered consecutively.
func TestRecordConcurrently(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.delivery(t, f.webhook(t))
	job, err := f.Job(t.Context(), id)
	require.NoError(t, err)
	const attempts = 20
	var g errgroup.Group
	for i := range attempts {
		g.Go(func() error {
			a := byHand(answered(500))
			if i%4 == 0 {
				a = byHand(answered(200))
			}
			_, err := f.Record(t.Context(), []hook.Record{storagetest.RecordOf(&job, a)})
			return err
		})
	}
	require.NoError(t, g.Wait())
	require.Equal(t, hook.StateSuccess, f.read(t, id).State, "once a success, always a success")
	f.requireNumbered(t, id, attempts)
}

// Spec 6: if the log can't be written, neither the delivery nor the webhook changes.
func TestRecordFailsAsAWhole(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	id := f.delivery(t, w)
	before := f.read(t, id)
	f.exec(t, `alter table attempts add constraint broken check (false)`)
	for _, status := range []int{200, 410, 500} {
		job, err := f.Job(t.Context(), id)
		require.NoError(t, err)
		_, err = f.Record(t.Context(), []hook.Record{storagetest.RecordOf(&job, answered(status))})
		requireKind(t, hook.KindInternal, err)
		require.Equal(t, before, f.read(t, id))
		require.Equal(t, w, f.health(t, w))
	}
}

// Spec 9: an outage of Grapnel's own uses up no attempts. A recording that is repeated, because the answer to a
// commit was lost, finds the attempt recorded.
func TestRecordTwiceIsRecordOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.delivery(t, f.webhook(t))
	job, err := f.Job(t.Context(), id)
	require.NoError(t, err)
	r := storagetest.RecordOf(&job, answered(500))
	first, err := f.recorded(t.Context(), []hook.Record{r})
	require.NoError(t, err)
	again, err := f.recorded(t.Context(), []hook.Record{r})
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Equal(t, 1, again[0].Attempts)
	require.Equal(t, 1, again[0].Scheduled)
	log, err := f.Attempts(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, log, 1)
}
