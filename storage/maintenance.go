package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// partitionsAhead is how many days ahead partitions are created: enough for a weekend without a running process.
	partitionsAhead = 3
	// cleanPage is how many rows of a default partition a transaction reads, and maxCleanPages how many pages of each
	// table one run reads: rows that stay there for long are not all read each time.
	cleanPage, maxCleanPages = 5000, 100
)

// EnsurePartitions creates the coming days' partitions, each day in a transaction of its own, and returns how many
// days it created.
func (s *Store) EnsurePartitions(ctx context.Context) (made int, err error) {
	for {
		var day int
		if err := s.pool.QueryRow(ctx, `select make_day($1)`, partitionsAhead).Scan(&day); err != nil {
			return made, mapErr(fmt.Errorf("ensure partitions: %w", err))
		}
		if made += day; day == 0 {
			return made, nil
		}
	}
}

// DropOldPartitions drops the days that ended longer ago than retention, each in a transaction of its own, and
// returns how many. Deliveries with an attempt to come stay (spec 11), with their events and attempts, in the default
// partitions; a day with too many of them stays whole, and is counted by Backlog. Finished rows in the default
// partitions are deleted.
func (s *Store) DropOldPartitions(ctx context.Context, retention time.Duration) (dropped int, err error) {
	for more := true; more && err == nil; {
		var days int
		err = s.pool.QueryRow(ctx, `select drop_day(now() - $1::interval)`, retention).Scan(&days)
		dropped += days
		more = days > 0
	}
	if err != nil {
		err = mapErr(fmt.Errorf("drop old partitions: %w", err))
	}
	// A day that can't be dropped at the moment must not prevent deleting.
	return dropped, errors.Join(err, s.cleanDefaults(ctx, retention), s.purgeDeleted(ctx, retention))
}

const cleanedCount = 6

// cleanedTables are the tables that cleanDefaults cleans, in this order: a table through which others are checked
// comes after them.
func cleanedTables() [cleanedCount]string {
	return [...]string{"attempts", "events", "deliveries", "shared_workflows", "event_references", "outbox"}
}

// cleanDefaults deletes finished rows in the default partitions.
func (s *Store) cleanDefaults(ctx context.Context, retention time.Duration) error {
	for i, table := range cleanedTables() {
		if err := s.cleanDefault(ctx, table, &s.cleanCursors[i], retention); err != nil {
			return mapErr(fmt.Errorf("clean default partition of %s: %w", table, err))
		}
	}
	return nil
}

// cleanDefault goes through a table's default partition page by page, from where the last run stopped.
func (s *Store) cleanDefault(ctx context.Context, table string, from *cursor, retention time.Duration) error {
	after := from.read()
	for range maxCleanPages {
		var last *[16]byte
		err := s.pool.QueryRow(ctx, `select last from clean_page($1, $2, now() - $3::interval, $4)`, table, after, retention, cleanPage).Scan(&last)
		if err != nil {
			return err
		}
		if last == nil { // the end; the next time begins anew
			from.write([16]byte{})
			return nil
		}
		after = *last
	}
	from.write(after)
	return nil
}

// cursor is the id up to which rows have been read.
type cursor struct {
	mu sync.Mutex
	id [16]byte
}

func (p *cursor) read() [16]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.id
}

func (p *cursor) write(id [16]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.id = id
}
