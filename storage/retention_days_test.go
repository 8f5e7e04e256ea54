package storage_test

import (
	"maps"
	"os"
	"os/exec"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/internal/pgtest"
	"grapnel/storage"
	"grapnel/storage/pgtemplate"
)

// The test runs sixty days in a synctest bubble, where sleeping costs no time, against a real PostgreSQL whose
// now() is set to the bubble's time. The product's code is unchanged. It runs in a process of its own: ids follow
// the clock of the process, and other tests draw ids at the same time.
const daysEnv = "GRAPNEL_TEST_DAYS"

// simulatedRetention is the default retention.
const simulatedRetention = 30 * day

const day = 24 * time.Hour

// Spec 11: in sixty days, ten of them without any process, each day drops exactly the finished deliveries that are
// older than the retention. An outstanding delivery outlives its day. In the short form the retention is 8 days
// instead of 30, and everything that depends on it happens 22 days earlier.
func TestSixtyDays(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	if os.Getenv(daysEnv) == "" {
		exe, err := os.Executable()
		require.NoError(t, err)
		child := exec.CommandContext(t.Context(), exe, "-test.run=^TestSixtyDays$", "-test.v")
		child.Env = append(os.Environ(), daysEnv+"=1")
		out, err := child.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "--- PASS: TestSixtyDays")
		return
	}
	// With the bubble's clock a pool would check and reopen its connections all the time.
	at := withParameters(t, pgtest.New(t, pgtemplate.Template()),
		"pool_health_check_period", "pool_max_conn_lifetime", "pool_max_conn_idle_time")
	begin := time.Now().UTC().Truncate(day).Add(12 * time.Hour)
	synctest.Test(t, func(t *testing.T) {
		<-time.After(time.Until(begin))
		s := newSimulation(t, at)
		for ; s.today < s.late(60); s.today++ {
			s.live()
			<-time.After(time.Until(begin.Add(time.Duration(s.today+1) * day)))
			s.setClock()
		}
	})
}

// simulation is a store with the data that it should hold.
type simulation struct {
	*fixture
	t     *testing.T
	begin time.Time
	today int
	// retention is a number of days.
	retention int
	// others are the stores of other processes.
	others []*storage.Store

	ok, slow, room hook.Webhook
	days           map[int]*simulatedDay
	// partitions holds the days that have partitions, counted from the first day.
	partitions map[int]bool
	messages   int64
}

// simulatedDay is what was published on one day.
type simulatedDay struct {
	events     []hook.EventID // without tests
	deliveries []hook.DeliveryID
	test       hook.Delivery
	messages   []int64
	// outstanding is the delivery that outlives the day; zero if there is none.
	outstanding hook.DeliveryID
	daily       hook.EventID
}

// outlives reports whether the event is that of the outstanding delivery: the two share the start of their ids.
func (d *simulatedDay) outlives(e hook.EventID) bool {
	return string(d.outstanding[:8]) == string(e[:8])
}

func newSimulation(t *testing.T, at string) *simulation {
	t.Helper()
	db, err := pgxpool.New(t.Context(), at)
	require.NoError(t, err)
	t.Cleanup(db.Close)
	s := &simulation{fixture: &fixture{url: at, db: db}, t: t, begin: time.Now(), retention: 30, days: map[int]*simulatedDay{}, partitions: map[int]bool{}}
	for _, sql := range []string{
		`create schema simulated`,
		`create table simulated.clock as select now() as at`,
		`create function simulated.now() returns timestamptz language sql stable as $$ select at from simulated.clock $$`,
		`create function simulated.clock_timestamp() returns timestamptz language sql stable as $$ select at from simulated.clock $$`,
		// The schema is searched before pg_catalog. New objects go into the first schema, public.
		`do $$ begin execute format('alter database %I set search_path = public, simulated, pg_catalog', current_database()); end $$`,
	} {
		s.exec(t, sql)
	}
	s.Store = open(t, at, encryptionKey)
	s.others = []*storage.Store{open(t, at, encryptionKey), open(t, at, encryptionKey)}
	s.setClock()
	s.ok, s.slow = s.webhook(t), s.webhook(t, events("order.created"))
	s.room = s.topicWebhook(t, room(), "bot")
	// The migration made the days from yesterday to three days ahead.
	for d := -1; d <= 3; d++ {
		s.partitions[d] = true
	}
	return s
}

// late returns the day that is the given one with the default retention, and as long after the first day is dropped.
func (s *simulation) late(today int) int { return today - 30 + s.retention }

// setClock sets PostgreSQL's time.
func (s *simulation) setClock() {
	s.t.Helper()
	s.exec(s.t, `update simulated.clock set at = $1`, time.Now())
}

// pass lets time pass within the day.
func (s *simulation) pass(d time.Duration) {
	s.t.Helper()
	<-time.After(d)
	s.setClock()
}

// live simulates one day.
func (s *simulation) live() {
	s.t.Helper()
	away, back := s.late(45), s.late(55)
	switch {
	case s.today >= away && s.today < back:
		return // no process runs
	case s.today == back:
		s.publishAll() // before the first maintenance of the process that is back
		s.requirePartitions("nothing has been made yet")
	}
	s.maintain()
	if s.today != back {
		s.publishAll()
	}
	s.end()
	s.maintain()
	s.requirePartitions("after the day's second maintenance")
	if slices.Contains([]int{7, s.late(31), s.late(41), back, s.late(59)}, s.today) {
		s.requireExactlyWhatIsKept()
	}
	s.requireIdempotency()
}

// maintain runs the maintenance that every process runs every ten minutes, in all processes at once.
func (s *simulation) maintain() {
	s.t.Helper()
	var g errgroup.Group
	for _, store := range append(s.others, s.Store) {
		g.Go(func() error {
			ctx := s.t.Context()
			if _, err := store.EnsurePartitions(ctx); err != nil {
				return err
			}
			if _, err := store.PurgeIdempotencyKeys(ctx); err != nil {
				return err
			}
			if err := store.CancelStaleTests(ctx, time.Hour); err != nil {
				return err
			}
			_, err := store.DropOldPartitions(ctx, time.Duration(s.retention)*day)
			return err
		})
	}
	require.NoError(s.t, g.Wait())
	for d := s.today - 1; d <= s.today+3; d++ {
		s.partitions[d] = true
	}
	maps.DeleteFunc(s.partitions, func(d int, _ bool) bool { return s.gone(d) })
}

// gone reports whether the day must have been dropped by now.
func (s *simulation) gone(d int) bool {
	end := s.begin.Truncate(day).Add(time.Duration(d+1) * day)
	return time.Since(end) >= time.Duration(s.retention)*day
}

// outlived counts the dropped days that have an outstanding delivery.
func (s *simulation) outlived() (n int) {
	for d, simulated := range s.days {
		if s.gone(d) && simulated.outstanding != (hook.DeliveryID{}) {
			n++
		}
	}
	return n
}

// publishAll publishes everything that can be published, as one day's events.
func (s *simulation) publishAll() {
	t := s.t
	d := &simulatedDay{}
	s.days[s.today] = d
	keep := func(e hook.EventID, record bool) []hook.DeliveryID {
		d.events = append(d.events, e)
		list, err := s.DeliveriesOfEvent(t.Context(), e, 10)
		require.NoError(t, err)
		var ids []hook.DeliveryID
		for _, delivery := range list {
			if record {
				s.attempt(t, delivery.ID, answered(200))
			}
			ids = append(ids, delivery.ID)
		}
		d.deliveries = append(d.deliveries, ids...)
		require.NoError(t, s.Started(t.Context(), []hook.EventID{e}))
		return ids
	}
	shared := s.publish(t, "user.created").Event.ID
	_, err := s.ShareWorkflow(t.Context(), "burst", []hook.EventID{shared})
	require.NoError(t, err)
	keep(shared, true)
	keep(s.publish(t, "nobody.listens").Event.ID, true)

	daily, err := s.Publish(t.Context(), daily(`1`))
	require.NoError(t, err)
	require.False(t, daily.Duplicate, "yesterday's key has expired")
	d.daily = daily.Event.ID
	keep(d.daily, true)

	for n := range 3 {
		e := message(t, s.Store, room(), "hello")
		s.messages++
		require.Equal(t, s.messages, e.Sequence, "numbers go on, whatever has been dropped")
		d.messages = append(d.messages, e.Sequence)
		keep(e.ID, s.today != 17 || n < 2)
	}
	order := keep(s.publish(t, "order.created").Event.ID, s.today != 2 && s.today != 9)
	switch s.today {
	case 2:
		d.outstanding = order[0]
	case 9: // a failed attempt, with another to come
		require.NotNil(t, s.attempt(t, order[0], answered(500)).NextAttemptAt)
		d.outstanding = order[0]
	case 17: // a message that is being sent
		d.outstanding = d.deliveries[len(d.deliveries)-2]
		claimed, err := s.ClaimDeliveries(t.Context(), wanted(t, s.Store, d.outstanding), hook.Claim{1})
		require.NoError(t, err)
		require.Len(t, claimed, 1)
	}

	d.test, err = s.CreateTest(t.Context(), s.ok, hook.Publication{TenantID: s.ok.TenantID, Type: "user.created", Data: eventData()})
	require.NoError(t, err)
	if s.today%2 == 0 { // on other days the test's sender has died
		s.attempt(t, d.test.ID, answered(200))
	}
	s.pass(2 * time.Hour)
}

// end ends deliveries that were outstanding for a long time.
func (s *simulation) end() {
	t := s.t
	switch s.today {
	case s.late(40):
		require.Equal(t, hook.StateSuccess, s.attempt(t, s.days[2].outstanding, answered(200)).State)
		s.days[2].outstanding = hook.DeliveryID{}
	case s.late(42):
		require.NoError(t, s.CancelDeliveries(t.Context(), []hook.DeliveryID{s.days[9].outstanding}, hook.TextWebhookDisabled))
		s.days[9].outstanding = hook.DeliveryID{}
	case s.late(57):
		dropped, err := s.DropDeliveries(t.Context(), []hook.DeliveryID{s.days[17].outstanding}, time.Hour)
		require.NoError(t, err)
		require.Len(t, dropped.Deliveries, 1)
		s.days[17].outstanding = hook.DeliveryID{}
	}
}

// requirePartitions checks that each table has partitions for exactly these days, and only the expected rows in
// its default partition.
func (s *simulation) requirePartitions(when string) {
	s.t.Helper()
	want := []string{}
	for d := range s.partitions {
		want = append(want, s.begin.Add(time.Duration(d)*day).Format("20060102"))
	}
	slices.Sort(want)
	for _, base := range partitioned {
		rows, _ := s.db.Query(s.t.Context(), `
			select right(inhrelid::regclass::text, 8) from pg_inherits
			where inhparent = $1::regclass and inhrelid::regclass::text not like '%\_default' order by 1`, base)
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(s.t, err)
		require.Equal(s.t, want, found, "%s on day %d, %s", base, s.today, when)
		if s.partitions[s.today] && (base == "events" || base == "deliveries") {
			require.Equal(s.t, s.outlived(), scalar[int](s.t, s.fixture, `select count(*) from `+base+`_default`),
				"%s: rows in the default partition on day %d", base, s.today)
		}
	}
}
