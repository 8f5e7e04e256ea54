package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"grapnel/internal/hook"
)

// piece is an item of these tests. It needs locks, and can't be stored if bad.
type piece struct {
	n     int
	needs []rowLock
	bad   bool
}

func needing(n int, locks ...rowLock) *piece { return &piece{n: n, needs: locks} }

// topic returns the n-th lock.
func topic(n int) rowLock { return rowLock{kind: lockTopic, text: fmt.Sprint(n)} }

// table stores pieces, and has the locks that other transactions hold.
type table struct {
	mu     sync.Mutex
	held   map[rowLock]bool
	most   int // how many a statement can store in its time; 0 means any number
	stored [][]int
	tried  int
}

func (s *table) hold(held bool, locks ...rowLock) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		s.held = map[rowLock]bool{}
	}
	for _, k := range locks {
		s.held[k] = held
	}
}

func (s *table) isHeld(k rowLock) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[k]
}

// heldOf returns the given locks that are held, as lockedElsewhere does.
func (s *table) heldOf(_ context.Context, locks []rowLock) ([]rowLock, error) {
	return slices.DeleteFunc(slices.Clone(locks), func(k rowLock) bool { return !s.isHeld(k) }), nil
}

var errBad = errors.New("bad")

func (s *table) store(ctx context.Context, pieces []*piece) error {
	s.mu.Lock()
	s.tried++
	s.mu.Unlock()
	wait := sessionLockTimeout
	if w, ok := ctx.Value(lockWaitKey{}).(time.Duration); ok {
		wait = w
	}
	if s.most > 0 && len(pieces) > s.most {
		<-ctx.Done()
		return ctx.Err()
	}
	var numbers []int
	for _, p := range pieces {
		for _, k := range p.needs {
			for end := time.Now().Add(wait); s.isHeld(k); time.Sleep(5 * time.Millisecond) { //nolint:forbidigo // the bubble's clock
				if !time.Now().Before(end) {
					return &pgconn.PgError{Code: "55P03"}
				}
			}
		}
		if p.bad {
			return errBad
		}
		numbers = append(numbers, p.n)
	}
	time.Sleep(time.Millisecond) //nolint:forbidigo // the bubble's clock: the time of a commit
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored = append(s.stored, numbers)
	return nil
}

// all returns the numbers of the stored pieces, sorted.
func (s *table) all() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Concat(s.stored...)
	slices.Sort(all)
	return all
}

func (s *table) group() *group[*piece] {
	return &group[*piece]{
		do: s.store, maxWeight: 500, maxRunners: 2,
		locks: func(p *piece) []rowLock { return p.needs },
		lane:  func(p *piece) int { return min(len(p.needs), 1) },
	}
}

// bounded returns a context with the API's time-out.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func sequence(from, to int) (numbers []int) {
	for n := from; n < to; n++ {
		numbers = append(numbers, n)
	}
	return numbers
}

// Design, "Shared statements": once a lock is known to stay held, it delays only the items that need it. Those get
// an error within seconds.
func TestGroupIsolatesALock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &table{}
		g := s.group()
		s.hold(true, topic(0))
		var pieces []*piece
		for n := range 100 {
			pieces = append(pieces, needing(n, topic(n)))
		}
		begin := time.Now()
		results := make([]error, len(pieces))
		var callers sync.WaitGroup
		for i := range pieces {
			callers.Go(func() { results[i] = g.add(bounded(t), pieces[i]) })
		}
		callers.Wait()
		require.Equal(t, hook.KindUnavailable, hook.KindOf(mapErr(results[0])))
		require.NoError(t, errors.Join(results[1:]...))
		require.Equal(t, sequence(1, 100), s.all())
		require.Less(t, time.Since(begin), 6*time.Second)

		// From now on the group knows the lock.
		waits := make(chan error, 1)
		go func() { waits <- g.add(bounded(t), needing(200, topic(0))) }()
		synctest.Wait()
		for n := 101; n < 150; n++ {
			begin := time.Now()
			require.NoError(t, g.add(t.Context(), needing(n, topic(n))))
			require.Equal(t, time.Millisecond, time.Since(begin))
		}
		s.hold(false, topic(0))
		require.NoError(t, <-waits)
		begin = time.Now()
		require.NoError(t, g.add(t.Context(), needing(201, topic(0))))
		require.Equal(t, time.Millisecond, time.Since(begin))
		synctest.Wait()
		require.True(t, g.idle())
		require.Empty(t, g.lockQueues.byLock, "it is a lock like others again")
	})
}

// If many locks are held, all are detected within seconds, and the other items are stored.
func TestGroupIsolatesManyLocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &table{}
		g := s.group()
		var pieces []*piece
		for n := range 500 {
			if n%5 > 0 {
				s.hold(true, topic(n))
			}
			pieces = append(pieces, needing(n, topic(n)))
		}
		errs := g.addAll(bounded(t), pieces)
		for n, err := range errs {
			if n%5 > 0 {
				require.Equal(t, hook.KindUnavailable, hook.KindOf(mapErr(err)))
			} else {
				require.NoError(t, err)
			}
		}
		require.Len(t, s.all(), 100)
		time.Sleep(sessionLockTimeout) //nolint:forbidigo // the time of the running try
		synctest.Wait()
		require.True(t, g.idle(), "nothing is done for those who have gone")
	})
}

// If a piece needs several locks, only the held ones are quarantined.
func TestGroupIsolatesTheLockThatIsHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &table{}
		g := s.group()
		g.stillLocked = s.heldOf
		s.hold(true, topic(1))
		require.Error(t, g.add(bounded(t), needing(0, topic(0), topic(1), topic(2))))
		require.Len(t, g.lockQueues.byLock, 1)
		for n := range 3 {
			begin := time.Now()
			err := g.add(bounded(t), needing(1+n, topic(n)))
			require.Equal(t, n == 1, err != nil)
			require.Equal(t, n == 1, time.Since(begin) > time.Second)
		}
	})
}

// The queue for a lock is limited. Items beyond the limit get an error with a time to try again.
func TestGroupBoundsAWard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &table{}
		g := s.group()
		s.hold(true, topic(0))
		require.Error(t, g.add(bounded(t), needing(0, topic(0))))
		first := make(chan error, 1)
		go func() { first <- g.add(bounded(t), needing(0, topic(0))) }() // it is being tried
		synctest.Wait()
		var pieces []*piece
		for n := range maxInLockQueue + 10 {
			pieces = append(pieces, needing(n, topic(0)))
		}
		pieces = append(pieces, needing(-1, topic(1)), needing(-2))
		result := make(chan []error, 1)
		go func() { result <- g.addAll(bounded(t), pieces) }()
		synctest.Wait()
		s.hold(false, topic(0))
		errs := <-result
		require.NoError(t, <-first)
		for n, err := range errs {
			if n < maxInLockQueue || n >= maxInLockQueue+10 {
				require.NoError(t, err)
				continue
			}
			var e *hook.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, hook.KindUnavailable, e.Kind)
			require.Positive(t, e.RetryAfter)
		}
		synctest.Wait()
		require.True(t, g.idle())
	})
}

// An item whose caller gives up in quarantine is not stored later.
func TestGroupForgetsWhoLeavesAWard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &table{}
		g := s.group()
		s.hold(true, topic(0), topic(1))
		require.Error(t, errors.Join(g.add(bounded(t), needing(0, topic(0))), g.add(bounded(t), needing(0, topic(1)))))
		busy := make(chan error, 1)
		go func() { busy <- g.add(bounded(t), needing(0, topic(0))) }()
		synctest.Wait()
		ctx, giveUp := context.WithTimeout(t.Context(), time.Millisecond)
		defer giveUp()
		require.ErrorIs(t, g.add(ctx, needing(1, topic(1))), context.DeadlineExceeded)
		s.hold(false, topic(0), topic(1))
		require.NoError(t, <-busy)
		synctest.Wait()
		require.Equal(t, []int{0}, s.all())
		require.True(t, g.idle())
	})
}

// A batch that takes too long is halved until it does not. A timeout of a batch does not mean that the store is
// unavailable.
func TestGroupHalvesWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &table{most: 25}
		g := s.group()
		var pieces []*piece
		for n := range 50 {
			pieces = append(pieces, needing(n))
		}
		require.NoError(t, errors.Join(g.addAll(t.Context(), pieces)...))
		require.Equal(t, sequence(0, 50), s.all())
		synctest.Wait()
		require.True(t, g.idle())
	})
}

// An item that takes too long alone gets an error, and so do items of a store that does not answer.
func TestGroupGivesUpOnWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &table{}
		g := s.group()
		g.do = func(ctx context.Context, _ []*piece) error {
			<-ctx.Done()
			return ctx.Err()
		}
		begin := time.Now()
		var pieces []*piece
		for n := range 500 {
			pieces = append(pieces, needing(n))
		}
		for _, err := range g.addAll(t.Context(), pieces) {
			require.Equal(t, hook.KindUnavailable, hook.KindOf(mapErr(err)))
		}
		require.LessOrEqual(t, time.Since(begin), splitTimeout+3*groupTimeout)
	})
}

// If the store becomes unavailable while a batch is split, no further part is tried.
func TestGroupThatLosesTheStoreInParts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tried := 0
		g := (&table{}).group()
		g.do = func(context.Context, []*piece) error {
			if tried++; tried == 1 {
				return &pgconn.PgError{Code: "40P01"}
			}
			return hook.Unavailable("the store", errors.New("away"))
		}
		var pieces []*piece
		for n := range 100 {
			pieces = append(pieces, needing(n, topic(n)))
		}
		for _, err := range g.addAll(t.Context(), pieces) {
			require.Equal(t, hook.KindUnavailable, hook.KindOf(err))
		}
		require.Equal(t, 2, tried)
	})
}

// Items that need locks never share a statement with items that need none.
func TestGroupKeepsLanesApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &table{}
		g := s.group()
		s.hold(true, topic(0))
		stuck := make(chan error, 1)
		go func() { stuck <- g.add(bounded(t), needing(0, topic(0))) }()
		synctest.Wait()
		for n := range 100 {
			begin := time.Now()
			require.NoError(t, g.add(t.Context(), needing(1+n)))
			require.Equal(t, time.Millisecond, time.Since(begin))
		}
		require.Error(t, <-stuck)
	})
}

// A call with many items leaves turns to others.
func TestGroupTakesTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &table{}
		g := s.group()
		g.weight = func(p *piece) int { return max(g.maxWeight*p.n/1000, 1) } // some are heavy
		g.maxRunners = 1
		var heavy []*piece
		for range 100 {
			heavy = append(heavy, needing(1000))
		}
		done := make(chan error, 1)
		go func() { done <- errors.Join(g.addAll(t.Context(), heavy)...) }()
		synctest.Wait()
		for range 10 {
			begin := time.Now()
			require.NoError(t, g.add(t.Context(), needing(1)))
			require.LessOrEqual(t, time.Since(begin), 3*time.Millisecond)
		}
		require.NoError(t, <-done)
		require.Len(t, s.all(), 110)
	})
}

// Whichever locks are held, and for however long, each item gets one outcome, and exactly the items with a success
// are stored.
func TestGroupProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		type arrival struct {
			after time.Duration
			sizes []int // locks needed; negative is bad
			give  time.Duration
		}
		arrivals := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) arrival {
			return arrival{
				after: time.Duration(rapid.IntRange(0, 3000).Draw(r, "after")) * time.Millisecond,
				sizes: rapid.SliceOfN(rapid.IntRange(-1, 2), 1, 6).Draw(r, "sizes"),
				give:  time.Duration(rapid.IntRange(1, 12_000).Draw(r, "give")) * time.Millisecond,
			}
		}), 1, 12).Draw(r, "arrivals")
		holds := rapid.SliceOfN(rapid.IntRange(0, 15_000), 4, 4).Draw(r, "holds")
		together := rapid.IntRange(1, 8).Draw(r, "together")
		synctest.Test(t, func(t *testing.T) {
			s := &table{}
			g := s.group()
			g.maxWeight, g.stillLocked = together, s.heldOf
			for n, ms := range holds {
				if ms%3 == 0 {
					s.hold(true, topic(n))
					time.AfterFunc(time.Duration(ms)*time.Millisecond, func() { s.hold(false, topic(n)) })
				}
			}
			var callers sync.WaitGroup
			var mu sync.Mutex
			var done, unknown []int
			number := 0
			for _, a := range arrivals {
				var pieces []*piece
				for i, size := range a.sizes {
					p := needing(number)
					number++
					p.bad = size < 0
					for k := range max(size, 0) {
						p.needs = append(p.needs, topic((i+k)%len(holds)))
					}
					pieces = append(pieces, p)
				}
				callers.Go(func() {
					time.Sleep(a.after) //nolint:forbidigo // the bubble's clock
					ctx, cancel := context.WithTimeout(t.Context(), a.give)
					defer cancel()
					for i, err := range g.addAll(ctx, pieces) {
						mu.Lock()
						switch {
						case err == nil:
							done = append(done, pieces[i].n)
						case errors.Is(err, context.DeadlineExceeded):
							unknown = append(unknown, pieces[i].n)
						default:
							require.True(t, pieces[i].bad || len(pieces[i].needs) > 0, "%v", err)
						}
						mu.Unlock()
					}
				})
			}
			callers.Wait()
			time.Sleep(time.Minute) //nolint:forbidigo // the bubble's clock
			synctest.Wait()
			require.True(t, g.idle())
			for _, n := range s.all() {
				require.True(t, slices.Contains(done, n) || slices.Contains(unknown, n), "%d is stored, and its caller was told otherwise", n)
			}
			for _, n := range done {
				require.Contains(t, s.all(), n)
			}
			require.Equal(t, slices.Compact(s.all()), s.all(), "none is stored twice")
		})
	})
}
