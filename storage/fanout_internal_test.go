package storage

import (
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// An event that was refused for too many deliveries shares no statement the next time. Neither do events of its
// tenant whose topics are unknown. Other events share as before.
func TestExcessiveEventsShareNoStatement(t *testing.T) {
	t.Parallel()
	s := &Store{}
	event := func(tenant byte, topic string) *publishing {
		p := newPublishing(&hook.Publication{TenantID: hook.TenantID{tenant}, Type: topic})
		p.most = 2
		p.fresh()
		return p
	}
	known := event(1, "known")
	known.accepted.Event.Deliveries = 20
	s.cache.putFanOuts([]*publishing{known})
	s.noteRefused(event(1, "a"), hook.Unavailable("the store", nil))
	require.Equal(t, unknownFanOut, s.fanOut(event(1, "a")))
	together := newPublishing(&hook.Publication{TenantID: hook.TenantID{1}, Type: "a"}) // it ran in no statement
	s.noteRefused(together, tooMany("2"))
	require.Equal(t, unknownFanOut, s.fanOut(event(1, "a")))
	s.noteRefused(event(1, "a"), tooMany("2"))
	require.Greater(t, s.fanOut(event(1, "a")), maxStatementDeliveries)
	require.Greater(t, s.fanOut(event(1, "b")), maxStatementDeliveries)
	require.Equal(t, 20, s.fanOut(event(1, "known")))
	require.Equal(t, unknownFanOut, s.fanOut(event(2, "a")))
}
