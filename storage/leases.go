package storage

import (
	"context"
	"fmt"
	"time"

	"grapnel/internal/hook"
)

// Lease gives the holder a lease by its name for a time, or prolongs it, and returns
// false when another holder has it. It ends by EndLease, or with its time when the holder
// is gone. One statement: no connection is held while the holder works. The times are the
// database's. A holder that is late for its next Lease may find that another has gone on
// meanwhile, so that what is done under a lease must be harmless if two do it.
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

// EndLease gives a lease back; one that another holds stays.
func (s *Store) EndLease(ctx context.Context, name string, holder hook.LeaseHolder) error {
	if _, err := s.pool.Exec(ctx, `delete from leases where name = $1 and holder = $2`, name, [16]byte(holder)); err != nil {
		return mapErr(fmt.Errorf("end lease %s: %w", name, err))
	}
	return nil
}
