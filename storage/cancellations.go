package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

const (
	// cancelPage is how many deliveries a page cancels, in about 50 ms.
	cancelPage = 2_000
	// cancelClaim is how long a claim on a cancellation lasts; each page renews it.
	cancelClaim = 30 * time.Second
	// cancelAgain is when deliveries are tried again that could not be canceled because another session has locked
	// them.
	cancelAgain = 2 * time.Second
)

// queueCancellation revokes a webhook's deliveries in the transaction that disables or deletes it, however many there
// are: deliveries of earlier generations are revoked as soon as that commits, every reader shows them as canceled and
// every sender refuses them. Their rows follow in pages (CancelPage). A delivery whose accept is still running is in
// none of the pages; its workflow or its drain cancels it.
func queueCancellation(ctx context.Context, tx pgx.Tx, webhook hook.WebhookID, generation int, reason string) error {
	_, err := tx.Exec(ctx, `
		insert into cancellations (webhook_id, generation, reason) values ($1, $2, $3)
		on conflict (webhook_id, generation) do nothing`, [16]byte(webhook), generation, reason)
	if err != nil {
		return fmt.Errorf("note that deliveries are to be canceled: %w", err)
	}
	return nil
}

// awaitSenders returns when no sender relies any more on the webhook as it was before its commit. If the webhook has
// ended, it meanwhile cancels one page of deliveries, which usually is all of them; the sweepers do the rest.
func (s *Store) awaitSenders(ctx context.Context, webhook hook.WebhookID, ended bool) {
	committed := time.Now()
	if ended {
		first, cancel := context.WithTimeout(ctx, cancelAgain)
		if c, ok, err := s.claimCancellation(first, &webhook); err == nil && ok {
			if more, err := s.CancelPage(first, c); more || err != nil {
				_ = s.ReleaseCancellation(ctx, c) // the claim ends by itself
			}
		}
		cancel()
	}
	s.awaitTrust(committed)
}

// awaitTrust returns when hook.TrustFor has passed since a commit. It ignores the caller's context: returning early
// would answer before the guarantee holds.
func (s *Store) awaitTrust(committed time.Time) { <-time.After(hook.TrustFor - time.Since(committed)) }

// ClaimCancellation claims a cancellation that no process works on; false if there is none. The cancellations of one
// webhook are done in order, so that each delivery gets the reason for which it was canceled. A claim that is not
// renewed ends by itself.
func (s *Store) ClaimCancellation(ctx context.Context) (hook.Cancellation, bool, error) {
	return s.claimCancellation(ctx, nil)
}

func (s *Store) claimCancellation(ctx context.Context, webhook *hook.WebhookID) (c hook.Cancellation, ok bool, err error) {
	err = s.pool.QueryRow(ctx, `
		update cancellations c set claimed_until = clock_timestamp() + $1::interval
		where (webhook_id, generation) = (
			select o.webhook_id, o.generation from cancellations o
			where o.claimed_until < clock_timestamp() and ($2::uuid is null or o.webhook_id = $2)
				and not exists (select from cancellations e where e.webhook_id = o.webhook_id and e.generation < o.generation)
			order by o.claimed_until, o.created_at limit 1 for update of o skip locked)
		returning webhook_id, generation, reason, created_at`, cancelClaim, (*[16]byte)(webhook)).
		Scan((*[16]byte)(&c.WebhookID), &c.Generation, &c.Reason, &c.CreatedAt)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return c, false, nil
	case err != nil:
		return c, false, mapErr(fmt.Errorf("claim a cancellation: %w", err))
	}
	return c, true, nil
}

// CancelPage cancels some of a claimed cancellation's deliveries, in a transaction of its own, and renews the claim;
// more reports whether there may be more of them. Deliveries that another session has locked are left for a later
// page, so that a stuck one delays no other. When none is left the cancellation is deleted. It is safe to repeat a
// page, or to run two at once.
func (s *Store) CancelPage(ctx context.Context, c hook.Cancellation) (more bool, err error) {
	n := 0
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			update cancellations set claimed_until = clock_timestamp() + $3::interval where webhook_id = $1 and generation = $2`,
			[16]byte(c.WebhookID), c.Generation, cancelClaim)
		if err != nil || tag.RowsAffected() == 0 {
			return err // somebody else has come to its end
		}
		// With sequential scans, the last pages may read all rows that the first have left behind.
		if _, err := tx.Exec(ctx, `set local enable_seqscan = off`); err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, `select d.id from deliveries d where `+covered+` limit @limit for update skip locked`,
			coveredArgs(c, pgx.StrictNamedArgs{"limit": cancelPage}))
		ids, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (id hook.DeliveryID, err error) {
			return id, row.Scan((*[16]byte)(&id))
		})
		if err != nil {
			return err
		}
		if n = len(ids); n > 0 {
			// The bounds exclude the other days' partitions.
			sorted := sortedIDs(ids)
			_, err = tx.Exec(ctx, `
				update deliveries set state = 'canceled', error = $4, next_attempt_at = null, updated_at = greatest(updated_at, $5)
				where id between $2 and $3 and id = any($1)`,
				raw(sorted), [16]byte(sorted[0]), [16]byte(sorted[n-1]), c.Reason, c.CreatedAt)
		}
		if err != nil || n == cancelPage {
			return err
		}
		// Deliveries that are left are locked by another session; the next try is in a while.
		_, err = tx.Exec(ctx, `
			with rest as (select exists (select from deliveries d where `+covered+`) as remains), done as (
				delete from cancellations where webhook_id = @webhook and generation = @generation and not (select remains from rest)
			)
			update cancellations set claimed_until = clock_timestamp() + @again::interval
			where webhook_id = @webhook and generation = @generation and (select remains from rest)`,
			coveredArgs(c, pgx.StrictNamedArgs{"again": cancelAgain}))
		return err
	})
	if err != nil {
		return false, mapErr(fmt.Errorf("cancel deliveries of %s: %w", c.WebhookID, err))
	}
	s.metrics.Ended(hook.StateCanceled, n)
	return n == cancelPage, nil
}

// covered is the SQL condition that a cancellation covers delivery d. A delivery without a generation was accepted by
// an older process.
const covered = `d.webhook_id = @webhook and d.next_attempt_at is not null and not d.test
	and (d.generation < @generation or d.generation is null and d.created_at <= @created)`

func coveredArgs(c hook.Cancellation, args pgx.StrictNamedArgs) pgx.StrictNamedArgs {
	args["webhook"], args["generation"], args["created"] = [16]byte(c.WebhookID), c.Generation, c.CreatedAt
	return args
}

// ReleaseCancellation gives a claim back before its time, so that another process may go on.
func (s *Store) ReleaseCancellation(ctx context.Context, c hook.Cancellation) error {
	_, err := s.pool.Exec(ctx, `update cancellations set claimed_until = clock_timestamp() where webhook_id = $1 and generation = $2`,
		[16]byte(c.WebhookID), c.Generation)
	if err != nil {
		return mapErr(fmt.Errorf("release the cancellation of %s: %w", c.WebhookID, err))
	}
	return nil
}

// cancelRest queues a cancellation of a webhook's remaining revoked deliveries when its drain has ended: deliveries
// whose accept was still running when the webhook ended, or that came after the last page.
const cancelRest = `
	insert into cancellations (webhook_id, generation, reason)
	select $1, coalesce((select generation from webhooks where id = $1), 2147483647),
		case when exists (select from webhooks where id = $1) then $2 else $3 end
	where exists (select from deliveries where webhook_id = $1 and parked and next_attempt_at is not null)
		and not exists (select from drains where webhook_id = $1)
		and not exists (select from cancellations where webhook_id = $1)`

// Versions returns the current versions of webhooks; a deleted webhook has none.
func (s *Store) Versions(ctx context.Context, webhooks []hook.WebhookID) (map[hook.WebhookID]int64, error) {
	rows, _ := s.pool.Query(ctx, `select id, version from webhooks where id = any($1)`, raw(webhooks))
	versions := make(map[hook.WebhookID]int64, len(webhooks))
	var id hook.WebhookID
	var version int64
	_, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&id), &version}, func() error {
		versions[id] = version
		return nil
	})
	if err != nil {
		return nil, mapErr(fmt.Errorf("look at %d webhooks: %w", len(webhooks), err))
	}
	return versions, nil
}
