package storage

import (
	"context"
	"fmt"
	"time"

	"grapnel/internal/hook"
)

// Lease gives the holder a lease by its name for the duration d, or extends it. It returns false if another holder
// has it. The lease ends by EndLease, or with its time if the holder is gone. It is one statement: no connection is
// kept while the holder works. Times are the database's. A holder that is late for its next Lease may find that
// another one has taken over, so work under a lease must be harmless if two do it.
func (s *Store) Lease(ctx context.Context, name string, holder hook.LeaseHolder, d time.Duration) (held bool, err error) {
	tag, err := s.pool.Exec(ctx, `
		insert into leases as l (name, holder, until) values ($1, $2, now() + $3::interval)
		on conflict (name) do update set holder = excluded.holder, until = excluded.until
		where l.until < now() or l.holder = excluded.holder`, name, [16]byte(holder), d)
	if err != nil {
		return false, mapErr(fmt.Errorf("lease %s: %w", name, err))
	}
	return tag.RowsAffected() > 0, nil
}

// EndLease gives a lease back. Another holder's lease stays.
func (s *Store) EndLease(ctx context.Context, name string, holder hook.LeaseHolder) error {
	if _, err := s.pool.Exec(ctx, `delete from leases where name = $1 and holder = $2`, name, [16]byte(holder)); err != nil {
		return mapErr(fmt.Errorf("end lease %s: %w", name, err))
	}
	return nil
}
