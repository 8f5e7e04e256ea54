package api

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// All answers together stay within the budget, and the answers of one tenant within half of it. Room that is given back
// is available to others, and none is lost.
func TestAnswersHoldTheirBudget(t *testing.T) {
	t.Parallel()
	const one = answerFactor * mostAnswered
	a := newAnswers(answersPart * 4 * one)
	require.EqualValues(t, 4*one, a.size)
	mine, theirs, third := hook.TenantID{1}, hook.TenantID{2}, hook.TenantID{3}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	take := func(tenant hook.TenantID) *answering {
		t.Helper()
		part, err := a.take(t.Context(), tenant)
		require.NoError(t, err)
		return part
	}
	full := func(tenant hook.TenantID) {
		t.Helper()
		used := a.used.Load()
		_, err := a.take(over, tenant)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, used, a.used.Load())
	}
	parts := []*answering{take(mine), take(mine)}
	full(mine)
	parts = append(parts, take(theirs), take(theirs))
	require.EqualValues(t, 4*one, a.used.Load())
	full(third)
	parts[0].keep(1000)
	require.EqualValues(t, 3*one+1000*answerFactor+leastAnswer, a.used.Load())
	full(third) // a whole share does not fit into the rest of the budget
	parts[2].keep(0)
	full(theirs)
	parts[0].end()
	parts = append(parts, take(third))
	for _, part := range parts[1:] {
		part.keep(mostAnswered * 2) // an answer that needs more than its share keeps its share
		part.end()
	}
	require.Zero(t, a.used.Load())
	require.Zero(t, a.waiting.Load())
	require.Empty(t, a.tenants)
}

// However many answers are made at once, their sum stays within the budget, and every answer gets its turn.
func TestAllAnswersComeToTheirTurn(t *testing.T) {
	t.Parallel()
	a := newAnswers(512 << 20)
	require.EqualValues(t, 64<<20, a.size)
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			part, err := a.take(t.Context(), hook.TenantID{byte(i % 3)})
			if err != nil {
				t.Error(err)
				return
			}
			if used := a.used.Load(); used > a.size {
				t.Errorf("%d of %d bytes are used", used, a.size)
			}
			part.keep(i * 100_000)
			part.end()
		})
	}
	all.Wait()
	require.Zero(t, a.used.Load())
	require.Empty(t, a.tenants)
	require.EqualValues(t, 2*answerFactor*mostAnswered, newAnswers(1).size, "there is room for one of each tenant's")
	require.EqualValues(t, defaultMemory/answersPart, newAnswers(0).size)
}

func TestFit(t *testing.T) {
	t.Parallel()
	size := func(n *int) int { return *n }
	for _, c := range []struct {
		list, kept []int
		bytes      int
		more       bool
	}{
		{nil, nil, 0, false},
		{[]int{1, 2}, []int{1, 2}, 3, false},
		{[]int{mostAnswered + 1, 1}, []int{mostAnswered + 1}, mostAnswered + 1, true},
		{[]int{mostAnswered - 1, 1, 1}, []int{mostAnswered - 1, 1}, mostAnswered, true},
	} {
		kept, bytes, more := fit(c.list, size)
		require.Equal(t, c.kept, kept)
		require.Equal(t, c.bytes, bytes)
		require.Equal(t, c.more, more)
	}
}

// A request takes its share once, keeps what its answer needs, and gives that back once.
func TestARequestsPart(t *testing.T) {
	t.Parallel()
	part := &answering{all: newAnswers(0), tenant: hook.TenantID{1}}
	ctx := context.WithValue(t.Context(), answeringKey{}, part)
	require.NoError(t, reserve(ctx))
	require.EqualValues(t, answerFactor*mostAnswered, part.held)
	require.NoError(t, reserve(ctx), "it has it")
	answered(ctx, 1000)
	require.EqualValues(t, 1000*answerFactor+leastAnswer, part.held)
	part.end()
	part.end()
	require.Zero(t, part.all.used.Load())
	require.NoError(t, reserve(t.Context()), "an answer that is never large has none")
	answered(t.Context(), 1)
}
