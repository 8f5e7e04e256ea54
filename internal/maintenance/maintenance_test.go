package maintenance_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/internal/maintenance"
)

// store is a maintenance.Store that records the jobs run on it.
type store struct {
	// claims has the cancellations; nil is none.
	*claims

	mu sync.Mutex
	// calls are the slow jobs, in the order in which they ran.
	calls []string
	// folds is how often usage was summed up.
	folds int
	// ages are the ages that jobs were given.
	ages map[string]time.Duration
	// failing is the error of the named jobs.
	failing map[string]error
}

func (s *store) call(job string, age time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, job)
	if s.ages == nil {
		s.ages = map[string]time.Duration{}
	}
	s.ages[job] = age
	return s.failing[job]
}

func (s *store) EnsurePartitions(context.Context) (int, error) {
	return 0, s.call("make partitions", 0)
}

func (s *store) DropOldPartitions(_ context.Context, retention time.Duration) (int, error) {
	return 0, s.call("drop partitions", retention)
}

func (s *store) PurgeIdempotencyKeys(context.Context) (int64, error) { return 0, s.call("keys", 0) }

func (s *store) PurgeProcesses(context.Context) error { return s.call("processes", 0) }

func (s *store) ForgetSecrets(context.Context) (int64, error) { return 0, s.call("secrets", 0) }

func (s *store) CancelStaleTests(_ context.Context, age time.Duration) error {
	return s.call("tests", age)
}

func (s *store) PurgeReplays(_ context.Context, age time.Duration) error {
	return s.call("replays", age)
}

func (s *store) PurgeAuditLog(_ context.Context, age time.Duration) (int64, error) {
	return 0, s.call("audit log", age)
}

func (s *store) PurgeSessions(_ context.Context, age time.Duration) (int64, error) {
	return 0, s.call("sessions", age)
}

func (s *store) PurgeUsage(_ context.Context, age time.Duration) (int64, error) {
	return 0, s.call("usage", age)
}

func (s *store) PurgeStats(_ context.Context, days time.Duration) (int64, error) {
	return 0, s.call("statistics", days)
}

func (s *store) PurgeChanges(context.Context, time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failing["changes"]
}

func (s *store) FoldUsage(context.Context, time.Duration) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.folds++
	return 0, s.failing["fold"]
}

// folded returns how often usage was summed up.
func (s *store) folded() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.folds
}

// rounds returns how many rounds of slow jobs have begun.
func (s *store) rounds() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, job := range s.calls {
		if job == "make partitions" {
			n++
		}
	}
	return n
}

// mend lets all jobs succeed from now on.
func (s *store) mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = nil
}

// running runs maintenance over the store, with a retention of a day, and returns a function that stops it.
func running(t *testing.T, s *store, change ...func(*maintenance.Config)) (stop func()) {
	t.Helper()
	if s.claims == nil {
		s.claims = &claims{}
	}
	c := maintenance.Config{Store: s, Logger: slog.New(slog.DiscardHandler), Retention: 24 * time.Hour, AuditRetention: 48 * time.Hour, UsageRetention: 72 * time.Hour}
	for _, f := range change {
		f(&c)
	}
	m, err := maintenance.New(c)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

// pass lets the bubble's time pass, and everything happen that is due then.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// The slow jobs run in their order, also when some fail: tests are canceled before their day can be dropped.
func TestRound(t *testing.T) {
	t.Parallel()
	all := []string{"make partitions", "keys", "processes", "secrets", "sessions", "tests", "drop partitions", "replays", "audit log", "usage", "statistics"}
	away := hook.Unavailable("the store", nil)
	failing := map[string]error{}
	for _, job := range all {
		failing[job] = away
	}
	for name, c := range map[string]struct {
		retention time.Duration
		failing   map[string]error
		want      []string
	}{
		"all succeed":       {retention: time.Hour, want: all},
		"all fail":          {retention: time.Hour, failing: failing, want: all},
		"kept for ever":     {want: append(all[:6:6], "statistics")},
		"for ever, failing": {failing: failing, want: append(all[:6:6], "statistics")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &store{failing: c.failing}
				defer running(t, s, func(m *maintenance.Config) {
					m.Retention, m.AuditRetention, m.UsageRetention = c.retention, 2*c.retention, 3*c.retention
				})()
				synctest.Wait()
				require.Equal(t, c.want, s.calls)
				require.Equal(t, 2*contract.SendNowTimeout, s.ages["tests"])
				require.Equal(t, c.retention, s.ages["drop partitions"])
				require.Equal(t, c.retention, s.ages["replays"])
				require.Equal(t, 2*c.retention, s.ages["audit log"])
				require.Equal(t, 3*c.retention, s.ages["usage"])
				require.Equal(t, 3*c.retention, s.ages["statistics"])
			})
		})
	}
}

// Rounds begin with the process and every ten minutes.
func TestRounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		defer running(t, s)()
		var rounds []int
		for range 3 {
			pass(time.Second)
			rounds = append(rounds, s.rounds())
			pass(10 * time.Minute)
		}
		require.Equal(t, []int{1, 2, 3}, rounds)
	})
}

// A job that failed, behind a long query or while the database was unavailable, is repeated a minute later: today's
// partition may be missing.
func TestRoundIsRepeatedSoonAfterAFailure(t *testing.T) {
	t.Parallel()
	for _, job := range []string{"make partitions", "keys", "processes", "secrets", "sessions", "tests", "drop partitions", "replays", "audit log", "usage", "statistics"} {
		t.Run(job, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &store{failing: map[string]error{job: hook.Unavailable("the store", nil)}}
				defer running(t, s)()
				pass(time.Second)
				require.Equal(t, 1, s.rounds())
				pass(time.Minute)
				require.Equal(t, 2, s.rounds())
				s.mend()
				pass(time.Minute)
				require.Equal(t, 3, s.rounds())
				pass(9 * time.Minute)
				require.Equal(t, 3, s.rounds(), "nothing is left to repeat")
				pass(time.Minute)
				require.Equal(t, 4, s.rounds())
			})
		})
	}
}

// Usage and statistics are summed up every eight seconds, also while that fails (K10, P6).
func TestFolds(t *testing.T) {
	t.Parallel()
	for name, failing := range map[string]string{"succeeds": "", "fails": "fold", "forgetting changes fails": "changes"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &store{failing: map[string]error{failing: hook.Unavailable("the store", nil)}}
				defer running(t, s)()
				pass(8*time.Second - time.Millisecond)
				require.Zero(t, s.folded())
				pass(2 * time.Millisecond)
				require.Equal(t, 1, s.folded())
				pass(16 * time.Second)
				require.Equal(t, 3, s.folded())
			})
		})
	}
}

func TestNewChecksItsConfig(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*maintenance.Config){
		"no store":           func(c *maintenance.Config) { c.Store = nil },
		"no logger":          func(c *maintenance.Config) { c.Logger = nil },
		"negative retention": func(c *maintenance.Config) { c.Retention = -1 },
		"negative audit":     func(c *maintenance.Config) { c.AuditRetention = -1 },
		"negative usage":     func(c *maintenance.Config) { c.UsageRetention = -1 },
		"negative interval":  func(c *maintenance.Config) { c.CancelEvery = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := maintenance.Config{Store: &store{}, Logger: slog.New(slog.DiscardHandler)}
			spoil(&c)
			_, err := maintenance.New(c)
			require.Error(t, err)
		})
	}
}

// claims are cancellations with a number of pages left each.
type claims struct {
	lock    sync.Mutex
	left    map[byte]int
	claimed map[byte]bool
	fails   map[byte]error
	// takes is the duration of a page.
	takes time.Duration
}

func (c *claims) ClaimCancellation(context.Context) (claimed hook.Cancellation, ok bool, err error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	for _, id := range []byte{1, 2, 3} {
		if c.left[id] > 0 && !c.claimed[id] {
			c.claimed[id] = true
			return hook.Cancellation{WebhookID: hook.WebhookID{id}}, true, nil
		}
	}
	return claimed, false, nil
}

func (c *claims) CancelPage(_ context.Context, claimed hook.Cancellation) (more bool, err error) {
	<-time.After(c.takes)
	c.lock.Lock()
	defer c.lock.Unlock()
	id := claimed.WebhookID[0]
	if c.fails[id] != nil {
		return false, c.fails[id]
	}
	c.left[id]--
	return c.left[id] > 0, nil
}

func (c *claims) ReleaseCancellation(ctx context.Context, claimed hook.Cancellation) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.claimed[claimed.WebhookID[0]] = false
	return ctx.Err()
}

// state returns the pages left of cancellation 1, and whether it is claimed.
func (c *claims) state() (left int, claimed bool) {
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.left[1], c.claimed[1]
}

// pages returns the pages left of each cancellation.
func (c *claims) pages() map[byte]int {
	c.lock.Lock()
	defer c.lock.Unlock()
	return maps.Clone(c.left)
}

// Every cancellation is completed, and one that fails stops none of the others.
func TestCancellations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &claims{left: map[byte]int{1: 3, 2: 1, 3: 2}, claimed: map[byte]bool{}, fails: map[byte]error{2: errors.New("stuck")}}
		defer running(t, &store{claims: c})()
		pass(2*time.Second - time.Millisecond)
		require.Equal(t, map[byte]int{1: 3, 2: 1, 3: 2}, c.pages(), "not yet")
		pass(2 * time.Millisecond)
		require.Equal(t, map[byte]int{1: 0, 2: 1, 3: 0}, c.pages())
		c.lock.Lock()
		defer c.lock.Unlock()
		require.True(t, c.claimed[2], "until the claim expires")
	})
}

// Cancelling takes a second at most, and gives back what it has claimed then: any process may continue.
func TestCancellationsAreBoundedAndGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &claims{left: map[byte]int{1: 25}, claimed: map[byte]bool{}, takes: 100 * time.Millisecond}
		defer running(t, &store{claims: c})()
		var states []int
		for range 3 {
			pass(3*time.Second + time.Millisecond) // two seconds of pause, one of work
			left, claimed := c.state()
			states = append(states, left)
			require.Equal(t, left == 0, claimed)
		}
		require.Equal(t, []int{15, 5, 0}, states)
	})
	synctest.Test(t, func(t *testing.T) {
		c := &claims{left: map[byte]int{1: 25}, claimed: map[byte]bool{}, takes: 100 * time.Millisecond}
		s := &store{claims: c}
		stop := running(t, s)
		pass(2250 * time.Millisecond)
		stop()
		left, claimed := c.state()
		require.Equal(t, 22, left, "the page under way is completed")
		require.False(t, claimed, "a process that stops gives it back")
	})
}

// Slow jobs that fail do not keep deliveries from being canceled.
func TestCancellationsGoOnWhileRoundsFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &claims{left: map[byte]int{1: 3}, claimed: map[byte]bool{}}
		s := &store{claims: c, failing: map[string]error{"make partitions": errors.New("no")}}
		defer running(t, s)()
		pass(3 * time.Second)
		left, _ := c.state()
		require.Zero(t, left)
		s.mu.Lock()
		defer s.mu.Unlock()
		require.True(t, slices.Contains(s.calls, "replays"))
	})
}
