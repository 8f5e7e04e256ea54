package storage_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// inOverlap rotates the secret twice, so that two previous secrets are valid besides the current one.
func (f *fixture) inOverlap(t *testing.T, w hook.Webhook) hook.Webhook {
	t.Helper()
	now := time.Now()
	for _, r := range []struct {
		secret hook.Secret
		until  time.Time
	}{{"whsec_two", now.Add(time.Hour)}, {"whsec_three", now.Add(2 * time.Hour)}} {
		var err error
		w, err = f.UpdateWebhook(t.Context(), w.TenantID, w.ID, func(w *hook.Webhook) error { return w.Rotate(r.secret, now, r.until) })
		require.NoError(t, err)
	}
	require.Len(t, w.Previous, 2)
	return w
}

// S6: previous secrets are sealed with the webhook, and a job has them.
func TestPreviousSecrets(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.inOverlap(t, f.webhook(t))
	read, err := f.Webhook(t.Context(), w.TenantID, w.ID)
	require.NoError(t, err)
	require.Equal(t, w, read)
	job, err := f.Job(t.Context(), f.delivery(t, w))
	require.NoError(t, err)
	require.NoError(t, job.Err)
	require.Equal(t, w.Previous, job.Webhook.Previous)
	require.Zero(t, scalar[int](t, f, `select count(*) from webhooks, unnest(previous_secrets) s where position('whsec_' in s) > 0`))

	moved := f.webhook(t)
	f.exec(t, `update webhooks set previous_secrets = o.previous_secrets, previous_until = o.previous_until
		from webhooks o where webhooks.id = $1 and o.id = $2`, moved.ID[:], w.ID[:])
	_, err = f.Webhook(t.Context(), moved.TenantID, moved.ID)
	require.ErrorContains(t, err, "previous secret of webhook "+moved.ID.String()+": open sealed value: it was changed or belongs to something else")
}

// Any change of a webhook removes its expired secrets.
func TestAnyChangeForgetsWhatHasExpired(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.inOverlap(t, f.webhook(t))
	f.exec(t, `update webhooks set previous_until[2] = now() - interval '1 second'`)
	_, err := f.UpdateWebhook(t.Context(), w.TenantID, w.ID, func(w *hook.Webhook) error {
		w.Description = "changed"
		return nil
	})
	require.NoError(t, err)
	read, err := f.Webhook(t.Context(), w.TenantID, w.ID)
	require.NoError(t, err)
	require.Equal(t, w.Previous[:1], read.Previous)
}

// Maintenance removes expired secrets without needing their key, and removes nothing else.
func TestForgetSecrets(t *testing.T) {
	t.Parallel()
	f := setup(t)
	some, all, none, never := f.inOverlap(t, f.webhook(t)), f.inOverlap(t, f.webhook(t)), f.inOverlap(t, f.webhook(t)), f.webhook(t)
	f.exec(t, `update webhooks set previous_until[2] = now() - interval '1 second' where id = $1`, some.ID[:])
	f.exec(t, `update webhooks set previous_until = array[now() - interval '1 second', now()] where id = $1`, all.ID[:])
	n, err := open(t, f.url, otherKey).ForgetSecrets(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	some.Previous, all.Previous = some.Previous[:1], nil
	for _, w := range []hook.Webhook{some, all, none, never} {
		requireOpens(t, f.Store, w)
	}
	require.Equal(t, 3, scalar[int](t, f, `select sum(cardinality(previous_secrets))::int from webhooks`))
	n, err = f.ForgetSecrets(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
}

// Spec 7: Reencrypt seals previous secrets and signing keys anew, too.
func TestReencryptPreviousSecretsAndSigningKeys(t *testing.T) {
	t.Parallel()
	before, during := reencrypting(t)
	w := before.inOverlap(t, before.webhook(t, withHeaders, asymmetric))
	r, err := during.Reencrypt(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, r.Changed)
	require.Equal(t, 1, r.SigningKeys)
	require.Equal(t, 1, r.ChangedKeys)
	after := open(t, before.url, otherKey)
	requireOpens(t, after, w)
	job, err := after.Job(t.Context(), before.delivery(t, w))
	require.NoError(t, err)
	require.NoError(t, job.Err)
	require.Len(t, job.SigningKeys, 1)
	r, err = after.Reencrypt(t.Context())
	require.NoError(t, err)
	require.Zero(t, r.Changed+r.ChangedKeys)
	require.Empty(t, r.Unreadable)

	lost, err := open(t, before.url, encryptionKey).Reencrypt(t.Context())
	require.NoError(t, err)
	require.Len(t, lost.Unreadable, 2)
	require.Equal(t, w.ID, lost.Unreadable[0].Webhook)
	require.Len(t, lost.Unreadable[1].SigningKey, 32)
	require.ErrorContains(t, lost.Unreadable[1].Err, "signing key: open sealed value: its encryption key")
}

// A secret that maintenance removes between the read and the write of Reencrypt does not come back.
func TestReencryptBringsNothingBack(t *testing.T) {
	t.Parallel()
	before, during := reencrypting(t)
	w := before.inOverlap(t, before.webhook(t))
	tx, err := before.db.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }) // it fails after the commit
	_, err = tx.Exec(t.Context(), `update webhooks set previous_secrets = '{}', previous_until = '{}'`)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		_, err := during.Reencrypt(t.Context())
		done <- err
	}()
	require.Eventually(t, func() bool {
		return scalar[bool](t, before, `select exists (select from pg_stat_activity
			where datname = current_database() and wait_event_type = 'Lock' and query like '%update webhooks set secret%')`)
	}, 10*time.Second, 5*time.Millisecond, "it has read, and waits for the row")
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-done)
	w.Previous = nil
	requireOpens(t, open(t, before.url, otherKey), w)
}

// The webhook stores which secret signs the headers that hold one value. A change of it is a new version, and the
// value stays right if a process that does not know it changes the secrets.
func TestSingleValue(t *testing.T) {
	t.Parallel()
	f := setup(t)
	now := time.Now()
	w := f.change(t, f.webhook(t), func(w *hook.Webhook) {
		require.NoError(t, w.RotateLater("whsec_two", now, now.Add(time.Hour)))
	})
	require.True(t, w.Previous[0].Single)
	require.Equal(t, w, f.health(t, w))
	job, err := f.Job(t.Context(), f.delivery(t, w))
	require.NoError(t, err)
	require.Equal(t, w.Previous, job.Webhook.Previous)

	later := f.change(t, w, func(w *hook.Webhook) { w.Previous[0].Single = false })
	require.Greater(t, later.Version, w.Version)
	require.False(t, later.Previous[0].Single)
	described := f.change(t, later, func(w *hook.Webhook) { w.Description = "changed" })
	require.Equal(t, later.Version, described.Version)

	// An older process rotates: it writes only the columns that it knows.
	w = f.change(t, later, func(w *hook.Webhook) { w.Previous[0].Single = true })
	f.exec(t, `update webhooks set previous_secrets = previous_secrets[1] || previous_secrets, previous_until = (now() + interval '1 day') || previous_until where id = $1`, w.ID[:])
	read := f.health(t, w)
	require.Equal(t, []bool{false, true}, []bool{read.Previous[0].Single, read.Previous[1].Single})
	f.exec(t, `update webhooks set previous_secrets = '{}', previous_until = '{}' where id = $1`, w.ID[:])
	read = f.health(t, w)
	require.Equal(t, read.Secret, read.SingleValue(now))
}
