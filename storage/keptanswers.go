package storage

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

// The answer to a request that creates something is kept under the client's idempotency key, by the transaction that
// creates it, so that a repeat creates nothing and gets the same answer. Answers hold secrets, so they are sealed.

// answerPlace returns the place in which an answer is sealed; it opens nowhere else. Earlier versions never read the
// table, so answers are always sealed in FormPlace.
func answerPlace(o *hook.RequestKey) secrets.Place {
	return secrets.Place{Table: "kept_answers", Column: "answer", Tenant: o.TenantID, ID: []byte(o.Operation + "\x00" + o.Key)}
}

// KeptAnswer returns the answer to the request under the key. It is not found if the key is free, and a conflict if
// the key belongs to another request.
func (s *Store) KeptAnswer(ctx context.Context, o hook.RequestKey) ([]byte, error) {
	answer, err := s.keptAnswer(ctx, s.pool, &o)
	if err != nil {
		return nil, notFound("answer", fmt.Errorf("read kept answer: %w", err))
	}
	return answer, nil
}

func (s *Store) keptAnswer(ctx context.Context, q querier, o *hook.RequestKey) ([]byte, error) {
	rows, _ := q.Query(ctx, `
		select answer from kept_answers where tenant_id = $1 and operation = $2 and key = $3 and expires_at > now()`,
		[16]byte(o.TenantID), o.Operation, o.Key)
	sealed, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[[]byte])
	if err != nil {
		return nil, err
	}
	plain, err := s.box.Open(sealed, answerPlace(o))
	if err != nil {
		return nil, fmt.Errorf("answer under an idempotency key: %w", err)
	}
	if len(plain) < sha256.Size {
		return nil, errors.New("answer under an idempotency key: not in a known form")
	}
	if subtle.ConstantTimeCompare(plain[:sha256.Size], o.Request[:]) == 0 {
		return nil, o.OtherRequest()
	}
	return plain[sha256.Size:], nil
}

// errAnswered rolls back the transaction of a request that is answered already.
var errAnswered = errors.New("the request has been answered under this key")

// CreateWebhookOnce is CreateWebhook, unless the key has an answer, which it then returns. answer builds the answer
// from the webhook that is about to be stored; it must do no I/O. A second request under the key waits until the
// first has committed.
func (s *Store) CreateWebhookOnce(ctx context.Context, w hook.Webhook, o hook.RequestKey, answer func(hook.Webhook) ([]byte, error)) ([]byte, error) {
	prepare(&w)
	text, err := answer(w)
	if err != nil {
		return nil, err
	}
	sealed := s.box.Seal(append(o.Request[:], text...), answerPlace(&o), secrets.FormPlace)
	err = s.createWebhook(ctx, &w, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			insert into kept_answers as k (tenant_id, operation, key, answer, expires_at) values ($1, $2, $3, $4, now() + $5)
			on conflict (tenant_id, operation, key) do update set answer = excluded.answer, expires_at = excluded.expires_at
				where k.expires_at <= now()`,
			[16]byte(o.TenantID), o.Operation, o.Key, sealed, hook.IdempotencyWindow)
		if err == nil && tag.RowsAffected() == 0 {
			return errAnswered
		}
		return err
	}, func(tx pgx.Tx) error {
		if w.SuspendedAt == nil {
			return nil
		}
		// Only now is it known that nothing is sent to the webhook, which the answer says. The key had to be taken first: a
		// repeat waits for it, and must not be refused for what the first request has used up.
		again, err := answer(w)
		if err != nil {
			return err
		}
		text = again
		_, err = tx.Exec(ctx, `update kept_answers set answer = $4 where tenant_id = $1 and operation = $2 and key = $3`,
			[16]byte(o.TenantID), o.Operation, o.Key, s.box.Seal(append(o.Request[:], text...), answerPlace(&o), secrets.FormPlace))
		return err
	})
	if errors.Is(err, errAnswered) {
		return s.KeptAnswer(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	return text, nil
}

// answerRow is a row of kept_answers.
type answerRow struct {
	TenantID  [16]byte
	Operation string
	Key       string
	Answer    []byte
}

// reencryptAnswers is reencryptAll for kept answers. An answer that no key opens can't be returned: the first request
// that asks for it fails, and it is deleted within a day.
func (s *Store) reencryptAnswers(ctx context.Context, pass *Reencryption) error {
	var after answerRow
	for {
		rows, _ := s.pool.Query(ctx, `
			select tenant_id, operation, key, answer from kept_answers
			where (tenant_id, operation, key) > ($1, $2, $3) and expires_at > now()
			order by tenant_id, operation, key limit $4`, after.TenantID, after.Operation, after.Key, reencryptPage)
		page, err := pgx.CollectRows(rows, pgx.RowToStructByName[answerRow])
		if err != nil || len(page) == 0 {
			return err
		}
		after = page[len(page)-1]
		for i := range page {
			changed, err := s.resealAnswer(ctx, &page[i], pass)
			if err != nil {
				return err
			}
			pass.ChangedAnswers += changed
		}
	}
}

func (s *Store) resealAnswer(ctx context.Context, row *answerRow, pass *Reencryption) (changed int, err error) {
	if s.box.Current(row.Answer, secrets.FormPlace) {
		return 0, nil
	}
	place := answerPlace(&hook.RequestKey{TenantID: row.TenantID, Operation: row.Operation, Key: row.Key})
	plain, err := s.box.Open(row.Answer, place)
	if err != nil {
		pass.Unreadable = append(pass.Unreadable, UnreadableSecret{TenantID: row.TenantID, Err: fmt.Errorf("answer under an idempotency key, which is gone within a day: %w", err)})
		return 0, nil
	}
	tag, err := s.pool.Exec(ctx, `
		update kept_answers set answer = $4 where tenant_id = $1 and operation = $2 and key = $3 and answer = $5`,
		row.TenantID, row.Operation, row.Key, s.box.Seal(plain, place, secrets.FormPlace), row.Answer)
	return int(tag.RowsAffected()), err
}
