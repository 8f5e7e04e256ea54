package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/cmd/dev/stack"
)

const (
	// sampleCount is the approximate number of samples of a soak.
	sampleCount = 40
	// sampleEvery is the least time between two samples, because each sample counts rows.
	sampleEvery = 5 * time.Second
	// sampleTime bounds one sample.
	sampleTime = 30 * time.Second
)

// sampler takes samples of a stack until it is stopped.
type sampler struct {
	databaseURL string
	processes   []Process
	begin       time.Time // the beginning of the window
	done        chan struct{}

	// These may be read once done is closed.
	samples  []Sample
	failures []error
}

// sampledLoad runs a load and takes samples at the same time.
func sampledLoad(ctx context.Context, spec *Spec, databaseURL string) ([]Result, error) {
	life, cancel := context.WithCancel(ctx)
	defer cancel()
	// The load begins with the warm-up and waits until its events have arrived, so the window begins a little later
	// than this estimate. The difference does not matter here.
	s := &sampler{databaseURL: databaseURL, processes: spec.Processes, begin: time.Now().Add(spec.WarmUp), done: make(chan struct{})}
	go s.run(life, max(sampleEvery, spec.Window/sampleCount))
	rows, err := load(ctx, spec)
	cancel()
	<-s.done
	if err != nil {
		return nil, err
	}
	s.take(ctx) // the last sample, at the end
	for i := range rows {
		soak := rows[i].Soak
		if soak == nil {
			continue
		}
		soak.Samples = s.samples
		soak.Summarize(rows[i].Events)
		if len(s.failures) > 0 { // the measurement is useful without samples
			rows[i].Note += fmt.Sprintf("%d samples failed, the first: %v", len(s.failures), s.failures[0])
		}
	}
	return rows, nil
}

// run takes a sample at the beginning of the window and after each interval.
func (s *sampler) run(ctx context.Context, every time.Duration) {
	defer close(s.done)
	timer := time.NewTimer(time.Until(s.begin))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			timer.Reset(every)
			s.take(ctx)
		}
	}
}

// take takes a sample. It drops a sample that the end of ctx interrupted.
func (s *sampler) take(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sampleTime)
	defer cancel()
	sample := Sample{
		Seconds: time.Since(s.begin).Seconds(), Memory: MemoryOf(s.processes),
		Tables: map[string]Table{}, Databases: map[string]int64{},
	}
	err := stack.OnDatabase(ctx, s.databaseURL, func(conn *pgx.Conn) error { return sampleDatabase(ctx, conn, &sample) })
	switch {
	case err == nil:
		s.samples = append(s.samples, sample)
	case errors.Is(ctx.Err(), context.Canceled):
	default:
		s.failures = append(s.failures, err)
	}
}

// sampleDatabase fills in PostgreSQL's part of the sample. It leaves out tables that do not exist.
func sampleDatabase(ctx context.Context, conn *pgx.Conn, sample *Sample) error {
	if err := conn.QueryRow(ctx, `
		select (select count(*) from outbox), (select count(*) from deliveries where next_attempt_at is not null)`).
		Scan(&sample.Outbox, &sample.Outstanding); err != nil {
		return fmt.Errorf("count rows: %w", err)
	}
	rows, _ := conn.Query(ctx, `
		select t.relname::text, coalesce(sum(s.n_live_tup), 0)::bigint, coalesce(sum(s.n_dead_tup), 0)::bigint,
			coalesce(sum(pg_total_relation_size(s.relid)), 0)::bigint
		from pg_stat_user_tables s left join pg_inherits i on i.inhrelid = s.relid join pg_class t on t.oid = coalesce(i.inhparent, s.relid)
		where t.relname = any('{events,deliveries,attempts,shared_workflows,event_references,outbox,usage_deltas,tenant_usage,stats_minute,audit_log}')
		group by t.relname`)
	var name string
	var table Table
	if _, err := pgx.ForEachRow(rows, []any{&name, &table.Live, &table.Dead, &table.Bytes}, func() error {
		sample.Tables[name] = table
		return nil
	}); err != nil {
		return fmt.Errorf("ask for the tables' statistics: %w", err)
	}
	rows, _ = conn.Query(ctx, `select datname::text, pg_database_size(oid) from pg_database where datname = any($1)`,
		[]string{stack.GrapnelDatabase, stack.TemporalDatabase, stack.VisibilityDatabase})
	var size int64
	if _, err := pgx.ForEachRow(rows, []any{&name, &size}, func() error {
		sample.Databases[name] = size
		return nil
	}); err != nil {
		return fmt.Errorf("ask for the databases' sizes: %w", err)
	}
	return nil
}
