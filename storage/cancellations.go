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
	// cancelPage is how many deliveries a page cancels, in some 50 ms.
	cancelPage = 2_000
	// cancelClaim is how long a cancellation is its claimant's, from each page on.
	cancelClaim = 30 * time.Second
	// cancelAgain is when what could not be canceled, because somebody holds it, is tried
	// again.
	cancelAgain = 2 * time.Second
)

// queueCancellation ends a webhook in the transaction that disables or deletes it, however much is
// outstanding for it: its deliveries of earlier generations are revoked as soon as that
// commits, every reader shows them as canceled and every sender refuses them. Their rows
// follow in pages (CancelPage). A delivery whose accept is still running is in none of
// them; its workflow or its drain cancels it.
func queueCancellation(ctx context.Context, tx pgx.Tx, webhook hook.WebhookID, generation int, reason string) error {
	_, err := tx.Exec(ctx, `
		insert into cancellations (webhook_id, generation, reason) values ($1, $2, $3)
		on conflict (webhook_id, generation) do nothing`, [16]byte(webhook), generation, reason)
	if err != nil {
		return fmt.Errorf("note that deliveries are to be canceled: %w", err)
	}
	return nil
}

// awaitSenders returns when nobody goes any more by a webhook as it was at its commit. One that
// has ended gets a page of cancellations meanwhile, which mostly is all of it; what fails
// or is left is the sweepers'.
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

// awaitTrust returns when hook.TrustFor has passed since a commit. Whoever asked may be gone;
// to return early for that would be to answer all the same.
func (s *Store) awaitTrust(committed time.Time) { <-time.After(hook.TrustFor - time.Since(committed)) }

// ClaimCancellation takes a cancellation that nobody is at; false when there is none. Of
// one webhook's the first goes first, so that each delivery gets the reason for which it
// was canceled. A claim that is not renewed ends by itself.
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

// CancelPage cancels some of a claimed cancellation's deliveries, in a transaction of its
// own, and renews the claim; more says that there may be more of them. What somebody else
// has locked is left for a later page, so that one that is stuck holds up no other. When
// none is left the cancellation is gone. To do it twice, or two at once, is safe.
func (s *Store) CancelPage(ctx context.Context, c hook.Cancellation) (more bool, err error) {
	n := 0
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			update cancellations set claimed_until = clock_timestamp() + $3::interval where webhook_id = $1 and generation = $2`,
			[16]byte(c.WebhookID), c.Generation, cancelClaim)
		if err != nil || tag.RowsAffected() == 0 {
			return err // somebody else has come to its end
		}
		// Otherwise the last pages may read all that the first have left behind.
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
			// The bounds spare it the other days' partitions.
			sorted := sortedIDs(ids)
			_, err = tx.Exec(ctx, `
				update deliveries set state = 'canceled', error = $4, next_attempt_at = null, updated_at = greatest(updated_at, $5)
				where id between $2 and $3 and id = any($1)`,
				raw(sorted), [16]byte(sorted[0]), [16]byte(sorted[n-1]), c.Reason, c.CreatedAt)
		}
		if err != nil || n == cancelPage {
			return err
		}
		// What is left is locked by somebody, and has its next turn in a while.
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

// covered are the deliveries that a cancellation is about. One without a generation was
// accepted by an older process.
const covered = `d.webhook_id = @webhook and d.next_attempt_at is not null and not d.test
	and (d.generation < @generation or d.generation is null and d.created_at <= @created)`

func coveredArgs(c hook.Cancellation, args pgx.StrictNamedArgs) pgx.StrictNamedArgs {
	args["webhook"], args["generation"], args["created"] = [16]byte(c.WebhookID), c.Generation, c.CreatedAt
	return args
}

// ReleaseCancellation gives a claim back before its time: somebody else may go on.
func (s *Store) ReleaseCancellation(ctx context.Context, c hook.Cancellation) error {
	_, err := s.pool.Exec(ctx, `update cancellations set claimed_until = clock_timestamp() where webhook_id = $1 and generation = $2`,
		[16]byte(c.WebhookID), c.Generation)
	if err != nil {
		return mapErr(fmt.Errorf("release the cancellation of %s: %w", c.WebhookID, err))
	}
	return nil
}

// cancelRest has what is left of a webhook's revoked deliveries canceled when its drain has
// ended: those whose accept was still running when the webhook ended, or came after the
// last page.
const cancelRest = `
	insert into cancellations (webhook_id, generation, reason)
	select $1, coalesce((select generation from webhooks where id = $1), 2147483647),
		case when exists (select from webhooks where id = $1) then $2 else $3 end
	where exists (select from deliveries where webhook_id = $1 and parked and next_attempt_at is not null)
		and not exists (select from drains where webhook_id = $1)
		and not exists (select from cancellations where webhook_id = $1)`

// Versions are those of webhooks as they are now; one that is gone has none.
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
