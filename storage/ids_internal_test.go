package storage

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"grapnel/internal/hook"
)

// Design, "Ids": ids are UUIDv7 of about the clock's time and all different, whatever the clock does. They grow
// unless the clock is set back by more than 100 ms.
func TestIDs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		clock := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
		s := &idSource{now: func() time.Time { return clock }}
		seen := map[[16]byte]bool{}
		last := s.draw()
		seen[last] = true
		steps := rapid.SliceOfN(rapid.OneOf(
			rapid.Int64Range(0, 1000), rapid.Int64Range(-100_000, 1_000_000), // steps of a running clock
			rapid.Int64Range(-99e6, 99e6), rapid.Int64Range(-1000*int64(time.Hour), 1000*int64(time.Hour)), // corrections
		), 1, 200).Draw(t, "steps")
		for _, step := range steps {
			before := clock
			clock = clock.Add(time.Duration(step))
			if clock.Year() < 2000 || clock.Year() > 2100 {
				clock = before
			}
			id := s.draw()
			require.False(t, seen[id])
			seen[id] = true
			parsed := uuid.UUID(id)
			require.Equal(t, uuid.Version(7), parsed.Version())
			require.Equal(t, uuid.RFC4122, parsed.Variant())
			at := hook.EventID(id).Time()
			require.False(t, at.Before(clock.Add(-time.Millisecond)), "%v at %v", at, clock)
			require.False(t, at.After(clock.Add(101*time.Millisecond)), "%v at %v", at, clock)
			if !clock.Before(before) {
				require.Positive(t, bytes.Compare(id[:], last[:]))
			}
			last = id
		}
	})
}

// A clock that was ahead for one id does not affect later ids.
func TestIDsAfterAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	clock := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	s := &idSource{now: func() time.Time { return clock }}
	ahead := clock.Add(100 * 24 * time.Hour)
	right := clock
	clock = ahead
	require.Equal(t, ahead, hook.EventID(s.draw()).Time().UTC())
	for clock = right; clock.Before(right.Add(time.Second)); clock = clock.Add(time.Millisecond) {
		require.Equal(t, clock, hook.EventID(s.draw()).Time().UTC())
	}
	// After a small correction, ids continue from the last one.
	last := s.draw()
	clock = clock.Add(-50 * time.Millisecond)
	for range 1000 {
		id := s.draw()
		require.Positive(t, bytes.Compare(id[:], last[:]))
		last = id
	}
}

// Ids that several goroutines draw at once grow in each goroutine, and none is drawn twice.
func TestIDsAtOnce(t *testing.T) {
	t.Parallel()
	const drawers, each = 8, 1000
	drawn := make(chan [][16]byte, drawers)
	for range drawers {
		go func() {
			var list [][16]byte
			for range each {
				list = append(list, newID[hook.EventID]())
			}
			drawn <- list
		}()
	}
	seen := map[[16]byte]bool{}
	for range drawers {
		list := <-drawn
		for i, id := range list {
			seen[id] = true
			if i > 0 {
				require.Positive(t, bytes.Compare(id[:], list[i-1][:]))
			}
		}
	}
	require.Len(t, seen, drawers*each)
}
