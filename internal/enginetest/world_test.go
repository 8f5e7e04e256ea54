package enginetest_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"grapnel/internal/hook"
)

// plan says which processes a world has.
type plan struct {
	processes int
	// regular is the number of processes that make no immediate attempts, the last ones.
	regular int
	// memory is the number of bytes that each process may have.
	memory int64
	seed   uint64
}

// world is everything in one sequence: processes over one database, Temporal, receivers, and the clients'
// knowledge.
type world struct {
	t         reporter
	url       string
	plan      plan
	began     time.Time
	ctx       context.Context //nolint:containedctx // it lives as long as the sequence
	end       context.CancelFunc
	logger    *slog.Logger
	db        *pgxpool.Pool
	clock     *clock
	barrier   *barrier
	temporal  *server
	receivers *receivers
	processes []*process
	// dead are the killed processes.
	dead []*process
	// runs waits for runs of activities, clients for requests of clients.
	runs, clients sync.WaitGroup
	ticks         atomic.Int64
	// replayed is set once a replay may have made further deliveries of an event.
	replayed atomic.Bool

	// mu guards the fields below.
	mu           sync.Mutex
	rng          *rand.Rand
	webhooks     []*webhook
	suspended    bool // the tenant, by the latest answer
	urls         map[string]*webhook
	publications []*publication
	names        map[string]string
	lines        []string
	// lost is when Temporal last lost its state.
	lost time.Time
	// calm is since when nothing has prevented events from being started; zero if something has since the last
	// check.
	calm time.Time

	// known are the deliveries as they were at the last check.
	known    map[[16]byte]*delivery
	noted    int64
	replays  []hook.ReplayID
	restarts int
}

// webhook is a webhook as its client knows it.
type webhook struct {
	name    string
	id      hook.WebhookID
	profile hook.Profile
	cache   string
	// behaves is its receiver's behaviour.
	behaves behaviour
	// now is the state in the client's latest answer, next the state that the client has requested since.
	now  state
	next *state
	// ended is when a check found that the engine had disabled it; zero if it has not.
	ended   time.Time
	changes int
	// since is when a new URL or enabling last reset its failures; pauses are the starts and ends of its pauses.
	since  time.Time
	pauses [][2]time.Time
}

// state decides whether a request may be made.
type state struct {
	active, paused, deleted bool
	// suspended says that the tenant is.
	suspended   bool
	url, secret string
}

// publication is an event that a client has published, or a test.
type publication struct {
	n          int
	event      hook.EventID
	cache      string
	at         time.Time
	deliveries int
	test       bool
	// owner is the lease under which its first attempts are made; none if its workflow makes them.
	owner hook.ProcessID
}

// trustSlack covers hook.TrustFor after the engine itself has disabled a webhook.
const trustSlack = 200 * time.Millisecond

// held reports whether deliveries wait whatever the endpoint does.
func (s *state) held() bool { return s.paused || s.suspended }

// forbids returns why a request must not begin in this state; "" if it may.
func (s *state) forbids(w *webhook, in hook.Request, r *request) string {
	switch {
	case s.deleted:
		return "deleted"
	case s.suspended: // by hand and tests too (K8)
		return "suspended"
	case !s.active && !r.test:
		return "disabled"
	case s.paused && !r.manual:
		return "paused"
	case in.URL != s.url:
		return "the URL of before"
	case !signedBy(w.profile, in, s.secret):
		return "the secret of before"
	}
	return ""
}

// allows returns the webhook of a request, and whether the request is allowed now.
func (w *world) allows(in hook.Request, r *request) (h *webhook, allowed bool, why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h = w.urls[in.URL]
	if h == nil {
		return nil, false, ""
	}
	why = h.now.forbids(h, in, r)
	if why == "disabled" && !h.ended.IsZero() && time.Since(h.ended) <= trustSlack {
		why = ""
	}
	if why != "" && h.next != nil && h.next.forbids(h, in, r) == "" {
		why = ""
	}
	return h, why == "", why
}

func (w *world) isTest(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return n < len(w.publications) && w.publications[n].test
}

// tick returns the next number of a logical clock.
func (w *world) tick() int64 { return w.ticks.Add(1) }

// logf adds a line to the log of the sequence, which is shown if it fails.
func (w *world) logf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, fmt.Sprintf("%12s  %s", time.Since(w.began).Round(time.Millisecond), fmt.Sprintf(format, args...)))
}

// short returns an id's name for the log.
func (w *world) short(id string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	base, suffix, _ := strings.Cut(id, "-")
	if name := w.names[base]; name != "" {
		return strings.TrimSuffix(name+"-"+suffix, "-")
	}
	return id
}

// name sets an id's name.
func (w *world) name(id fmt.Stringer, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[id.String()] = fmt.Sprintf(format, args...)
}

// anyWorker returns a process that takes tasks; nil if there is none.
func (w *world) anyWorker() *process {
	// The lock is released first: a goroutine that holds the server's lock may need it.
	w.mu.Lock()
	all, n := slices.Clone(w.processes), w.rng.IntN(1<<20)
	w.mu.Unlock()
	able := slices.DeleteFunc(all, func(p *process) bool { return p == nil || !w.temporal.takes(p) })
	if len(able) == 0 {
		return nil
	}
	return able[n%len(able)]
}

// failf ends the sequence. kind must be the same whenever the same fault is found, so that rapid finds a shorter
// sequence with that fault.
func (w *world) failf(kind, format string, args ...any) {
	w.logf("FAULT: %s: %s", kind, fmt.Sprintf(format, args...))
	w.mu.Lock()
	lines := slices.Clone(w.lines)
	w.mu.Unlock()
	for _, line := range lines {
		w.t.Log(line)
	}
	w.t.Fatalf("%s", kind)
}

// must ends the sequence if err is not nil.
func (w *world) must(err error, doing string) {
	if err != nil {
		w.failf(doing+" fails", "%v", err)
	}
}

// reporter takes the faults of a sequence: a test, of rapid or of Go.
type reporter interface {
	Log(args ...any)
	Fatalf(format string, args ...any)
}

// newWorld starts a sequence over an empty store.
func newWorld(t reporter, url string, p plan) *world {
	ctx, end := context.WithCancel(context.Background()) //nolint:forbidigo // rapid's test has no context in a bubble
	w := &world{
		t: t, url: url, began: time.Now(), ctx: ctx, end: end, barrier: &barrier{}, logger: slog.New(slog.DiscardHandler),
		urls: map[string]*webhook{}, names: map[string]string{}, known: map[[16]byte]*delivery{},
		rng: rand.New(rand.NewPCG(p.seed, 0)), plan: p,
	}
	w.logger = slog.New(logs{w: w})
	w.temporal, w.receivers = newServer(w), &receivers{w: w}
	var err error
	w.db, err = pgxpool.New(ctx, url)
	w.must(err, "opening the database")
	w.clock = &clock{db: w.db}
	w.must(w.clock.sync(), "setting the time")
	w.must(w.empty(), "emptying the store")
	w.processes = make([]*process, p.processes)
	for i := range p.processes {
		w.restart(i)
	}
	_, err = w.processes[0].store.EnsurePartitions(ctx)
	w.must(err, "making partitions")
	_, err = w.processes[0].store.DropOldPartitions(ctx, 2*24*time.Hour)
	w.must(err, "dropping partitions")
	return w
}

// restart restarts the i-th process.
func (w *world) restart(i int) {
	w.restarts++
	p, err := newProcess(w, fmt.Sprintf("p%d.%d", i, w.restarts), i < w.plan.processes-w.plan.regular)
	w.must(err, "starting a process")
	w.mu.Lock()
	w.processes[i] = p
	w.mu.Unlock()
	w.temporal.change(func() {})
	w.must(p.start(), "starting a process")
}

// close ends all activity.
func (w *world) close() {
	for _, p := range w.processes {
		if p != nil {
			p.die()
		}
	}
	w.barrier.open()
	w.temporal.lose()
	w.end()
	w.clients.Wait()
	w.temporal.group.Wait()
	w.runs.Wait()
	synctest.Wait()
	for _, p := range append(w.dead, w.processes...) {
		if p != nil {
			p.bury()
		}
	}
	w.db.Close()
}

// empty deletes the rows and partitions of earlier sequences.
func (w *world) empty() error {
	rows, _ := w.db.Query(w.ctx, `
		select relname from pg_class
		where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
			and relname not in ('tenants', 'goose_db_version', 'skipped_time') order by relname`)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, table := range tables {
		if _, err := w.db.Exec(w.ctx, `delete from `+table); err != nil {
			return err
		}
	}
	return nil
}

// logs collects the processes' log records.
type logs struct {
	w     *world
	attrs []slog.Attr
}

func (l logs) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (l logs) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message)
	add := func(a slog.Attr) bool {
		if a.Key != "level" {
			fmt.Fprintf(&b, " %s=%s", a.Key, l.w.short(a.Value.String()))
		}
		return true
	}
	for _, a := range l.attrs {
		add(a)
	}
	if r.Message == "attempt" { // it has 20 members, and the log shows requests anyway
		return nil
	}
	r.Attrs(add)
	l.w.logf("log: %s", b.String())
	return nil
}

func (l logs) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logs{l.w, append(slices.Clone(l.attrs), attrs...)}
}

func (l logs) WithGroup(string) slog.Handler { return l }
