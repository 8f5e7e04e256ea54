package storage_test

import (
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// requireExactlyWhatIsKept reads everything that was ever published, one by one and in lists, and checks that
// exactly the kept part is there.
func (s *simulation) requireExactlyWhatIsKept() {
	t := s.t
	var kept []hook.EventID
	var deliveries []hook.DeliveryID
	var numbers []int64
	for n := range s.today + 1 {
		d := s.days[n]
		if d == nil {
			continue
		}
		gone := s.gone(n)
		for _, id := range d.events {
			e, err := s.Event(t.Context(), hook.DefaultTenant(), id)
			if s.requireKept(gone && !d.outlives(id), err) {
				require.NotEmpty(t, e.Data)
				kept = append(kept, id)
			}
		}
		for _, id := range append([]hook.DeliveryID{d.test.ID}, d.deliveries...) {
			delivery, err := s.Delivery(t.Context(), hook.DefaultTenant(), id)
			if s.requireKept(gone && id != d.outstanding, err) && delivery.WebhookID == s.ok.ID {
				deliveries = append(deliveries, id)
			}
			if !gone && delivery.Test {
				require.Equal(t, n%2 == 0, delivery.State == hook.StateSuccess)
				require.False(t, delivery.Outstanding(), "nobody waits for it any more")
			}
		}
		if _, err := s.Job(t.Context(), d.test.ID); gone {
			requireKind(t, hook.KindNotFound, err)
		}
		if d.outstanding != (hook.DeliveryID{}) {
			s.requireToCome(d.outstanding)
		}
		log, err := s.Attempts(t.Context(), d.deliveries[0])
		require.NoError(t, err)
		require.Equal(t, !gone, len(log) == 1, "the log goes with the delivery")
		for i, number := range d.messages {
			if !gone || d.outlives(d.events[i+3]) {
				numbers = append(numbers, number)
			}
		}
		if !gone {
			e, err := s.Event(t.Context(), hook.DefaultTenant(), d.events[0])
			require.NoError(t, err)
			require.Equal(t, "burst", e.WorkflowID)
		}
	}
	slices.Reverse(kept)
	list := func(p hook.Page) ([]hook.Event, *[16]byte, error) {
		return s.Events(t.Context(), hook.OneTenant(hook.DefaultTenant()), hook.EventFilter{}, p)
	}
	require.Equal(t, kept, idsOf(every(t, 7, list), func(e hook.Event) hook.EventID { return e.ID }))
	slices.SortFunc(deliveries, func(a, b hook.DeliveryID) int { return strings.Compare(string(b[:]), string(a[:])) })
	require.Equal(t, deliveries, idsOf(every(t, 7, func(p hook.Page) ([]hook.Delivery, *[16]byte, error) {
		return s.Deliveries(t.Context(), s.ok.ID, hook.DeliveryFilter{}, p)
	}), func(d hook.Delivery) hook.DeliveryID { return d.ID }))

	// A cursor from a day that was dropped continues with older events that are kept, or is at the end.
	for n, d := range s.days {
		if n%4 != 0 {
			continue
		}
		before := [16]byte(d.events[1])
		page, _, err := list(hook.Page{Limit: 100, Before: &before})
		require.NoError(t, err)
		var want []hook.EventID
		for _, id := range kept {
			if string(id[:]) < string(before[:]) {
				want = append(want, id)
			}
		}
		require.Equal(t, want[:min(100, len(want))], idsOf(page, func(e hook.Event) hook.EventID { return e.ID }), "cursor of day %d", n)
	}

	// A subscriber that may look back further than the retention gets the messages that are kept.
	m, err := s.Messages(t.Context(), hook.MessageQuery{Topic: room().ID(), From: 1, Limit: 1000, Bytes: 1 << 20, Age: 100 * day, Newest: 1000})
	require.NoError(t, err)
	require.Equal(t, s.messages, m.Last)
	require.Equal(t, numbers, sequences(m))
}

// requireToCome checks that the delivery can still be sent, and that its log is kept with it.
func (s *simulation) requireToCome(id hook.DeliveryID) {
	s.t.Helper()
	job, err := s.Job(s.t.Context(), id)
	require.NoError(s.t, err)
	require.NotEmpty(s.t, job.Event.Data)
	log, err := s.Attempts(s.t.Context(), id)
	require.NoError(s.t, err)
	require.Len(s.t, log, job.Delivery.Attempts)
}

func (s *simulation) requireKept(gone bool, err error) (kept bool) {
	s.t.Helper()
	if gone {
		requireKind(s.t, hook.KindNotFound, err)
		return false
	}
	require.NoError(s.t, err)
	return true
}

// requireIdempotency publishes with the day's key again while the key is valid.
func (s *simulation) requireIdempotency() {
	t := s.t
	again, err := s.Publish(t.Context(), daily(`1`))
	require.NoError(t, err)
	require.True(t, again.Duplicate)
	require.Equal(t, s.days[s.today].daily, again.Event.ID)
	_, err = s.Publish(t.Context(), daily(`2`))
	requireKind(t, hook.KindConflict, err)
	require.Equal(t, 1, scalar[int](t, s.fixture, `select count(*) from idempotency_keys`))
}
