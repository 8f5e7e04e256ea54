package turns_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"grapnel/internal/turns"
)

func TestOwnersTakeTurns(t *testing.T) {
	t.Parallel()
	var q turns.Queue[string, int]
	for i := range 5 {
		q.Push("many", i)
	}
	q.Push("one", 100)
	q.Push("two", 200)
	q.Push("two", 201)
	require.Equal(t, 8, q.Len())
	require.Equal(t, 3, q.Owners())
	require.True(t, q.HasOther("many"))
	var got []int
	for item, ok := q.Pop(); ok; item, ok = q.Pop() {
		got = append(got, item)
	}
	require.Equal(t, []int{0, 100, 200, 1, 201, 2, 3, 4}, got)
	require.Zero(t, q.Len())
	require.Zero(t, q.Owners())
	_, ok := q.Peek()
	require.False(t, ok)
	require.False(t, q.HasOther("many"))
	q.Push("many", 1)
	require.False(t, q.HasOther("many"))
	require.True(t, q.HasOther("one"))
}

// Every item comes out once, an owner's items in their order, and before an item no other owner gets more than one turn
// for each item in front of it.
func TestTurnsAreFair(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		type item struct{ owner, n int }
		var q turns.Queue[int, item]
		pushed, popped := map[int]int{}, map[int]int{}
		last := map[int]map[int]int{} // by owner: how often each other owner has had a turn since its last one
		pop := func() {
			peeked, has := q.Peek()
			got, ok := q.Pop()
			require.Equal(t, has, ok)
			if !ok {
				return
			}
			require.Equal(t, peeked, got)
			require.Equal(t, popped[got.owner], got.n)
			popped[got.owner]++
			for owner, seen := range last {
				if owner == got.owner || pushed[owner] == popped[owner] {
					continue
				}
				seen[got.owner]++
				require.LessOrEqual(t, seen[got.owner], 1, "owner %d has waited for two turns of owner %d", owner, got.owner)
			}
			delete(last, got.owner)
			if pushed[got.owner] > popped[got.owner] {
				last[got.owner] = map[int]int{}
			}
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "pop") {
				pop()
				continue
			}
			owner := rapid.IntRange(0, 4).Draw(t, "owner")
			q.Push(owner, item{owner: owner, n: pushed[owner]})
			if pushed[owner]++; last[owner] == nil {
				last[owner] = map[int]int{}
			}
		}
		for q.Len() > 0 {
			pop()
		}
		require.Equal(t, pushed, popped)
	})
}
