package storage_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/internal/secrets"
	"grapnel/storage"
)

// reencrypting returns a store that seals with encryptionKey and one on the same database whose first key is
// otherKey.
func reencrypting(t *testing.T) (before *fixture, during *storage.Store) {
	t.Helper()
	before = setup(t)
	return before, open(t, before.url, otherKey+","+encryptionKey)
}

func withHeaders(w *hook.Webhook) {
	w.Headers = map[string]hook.Secret{"Authorization": "Bearer geheim", "X-Team": "blue"}
}

// requireOpens checks that the store reads the webhook unchanged, secrets included.
func requireOpens(t *testing.T, s *storage.Store, w hook.Webhook) {
	t.Helper()
	got, err := s.Webhook(t.Context(), w.TenantID, w.ID)
	require.NoError(t, err)
	w.Version = got.Version // sealing anew makes a new version
	require.Equal(t, w, got)
}

// Spec 7: keys are rotated: after the re-encryption the old key is not needed any more.
func TestReencrypt(t *testing.T) {
	t.Parallel()
	before, during := reencrypting(t)
	acme := before.tenant(t, "acme")
	list := make([]hook.Webhook, 0, 251)
	for i := range 250 { // more than two pages
		change := []func(*hook.Webhook){func(w *hook.Webhook) { w.Secret = hook.Secret(fmt.Sprintf("whsec_%d", i)) }}
		switch i % 5 {
		case 0:
			change = append(change, withHeaders)
		case 1:
			change = append(change, inactive)
		case 2:
			change = append(change, ofTenant(acme))
		case 3:
			change = append(change, func(w *hook.Webhook) {
				w.Profile, w.Cache, w.Name, w.Events = hook.ProfileMomento, "cache", fmt.Sprint(i), []string{"topic"}
			})
		}
		list = append(list, before.webhook(t, change...))
	}
	fresh, err := during.CreateWebhook(t.Context(), func() hook.Webhook {
		w := hook.Webhook{TenantID: acme, URL: "https://example.com", Events: []string{"user.created"}, Secret: "new", Active: true}
		w.Normalize()
		return w
	}())
	require.NoError(t, err)

	r, err := during.Reencrypt(t.Context())
	require.NoError(t, err)
	require.Equal(t, storage.Reencryption{Webhooks: 251, Changed: 250}, r)
	after := open(t, before.url, otherKey)
	for _, w := range append(list, fresh) {
		requireOpens(t, after, w)
	}
	r, err = during.Reencrypt(t.Context())
	require.NoError(t, err)
	require.Equal(t, storage.Reencryption{Webhooks: 251}, r, "a second time there is nothing to do")
	r, err = after.Reencrypt(t.Context())
	require.NoError(t, err, "the old key is needed for nothing")
	require.Empty(t, r.Unreadable)
}

// A value that no key opens is named in the result and left unchanged. The others are re-encrypted.
func TestReencryptNamesWhatNoKeyOpens(t *testing.T) {
	t.Parallel()
	before, during := reencrypting(t)
	good := before.webhook(t, withHeaders)
	lost, changed, moved := before.webhook(t), before.webhook(t, withHeaders), before.webhook(t)
	strange := open(t, before.url, "//////////////////////////////////////////8=")
	require.NoError(t, before.DeleteWebhook(t.Context(), lost.TenantID, lost.ID))
	lost, err := strange.CreateWebhook(t.Context(), lost)
	require.NoError(t, err)
	before.exec(t, `update webhooks set headers = set_byte(headers, 30, get_byte(headers, 30) # 1) where id = $1`, changed.ID[:])
	before.exec(t, `update webhooks set secret = (select secret from webhooks where id = $2) where id = $1`, moved.ID[:], good.ID[:])
	sealed := func() string {
		return scalar[string](t, before, `select string_agg(encode(secret || coalesce(headers, ''), 'hex'), ',' order by id) from webhooks where id <> $1`, good.ID[:])
	}
	untouched := sealed()

	r, err := during.Reencrypt(t.Context())
	require.NoError(t, err)
	require.Equal(t, 4, r.Webhooks)
	require.Equal(t, 1, r.Changed)
	reasons := map[hook.WebhookID]string{}
	for _, u := range r.Unreadable {
		require.Equal(t, hook.DefaultTenant(), u.TenantID)
		reasons[u.Webhook] = u.Err.Error()
	}
	require.Len(t, reasons, 3)
	require.Contains(t, reasons[lost.ID], "secret: open sealed value: its encryption key, whose SHA-256 begins with af9613")
	require.Contains(t, reasons[changed.ID], "headers: open sealed value: it was changed")
	require.Contains(t, reasons[moved.ID], "secret: open sealed value: it was changed or belongs to something else")
	require.Equal(t, untouched, sealed())
	requireOpens(t, open(t, before.url, otherKey), good)
}

// Other processes keep working meanwhile, also those that still seal with the old key: none of their changes is
// lost.
func TestReencryptBesideUpdates(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	before, during := reencrypting(t)
	oldFirst := open(t, before.url, encryptionKey+","+otherKey)
	const webhooks, writers = 40, 4
	last := make([]hook.Webhook, webhooks) // each webhook after its latest update
	for i := range last {
		last[i] = before.webhook(t, withHeaders)
	}
	var stop atomic.Bool
	var g errgroup.Group
	for part := range writers {
		store := []*storage.Store{during, oldFirst}[part%2]
		g.Go(func() error {
			for n := 0; n == 0 || !stop.Load(); n++ {
				for i := part; i < webhooks; i += writers {
					w, err := store.UpdateWebhook(t.Context(), last[i].TenantID, last[i].ID, func(w *hook.Webhook) error {
						w.Secret = hook.Secret(fmt.Sprintf("whsec_%d_%d", i, n))
						w.Headers = map[string]hook.Secret{"X-N": hook.Secret(fmt.Sprint(n))}
						return nil
					})
					if err != nil {
						return err
					}
					last[i] = w
				}
			}
			return nil
		})
	}
	for range 5 {
		if _, err := during.Reencrypt(t.Context()); err != nil {
			require.ErrorContains(t, err, "a process runs that has another one first")
		}
	}
	stop.Store(true)
	require.NoError(t, g.Wait())

	r, err := during.Reencrypt(t.Context())
	require.NoError(t, err)
	require.Empty(t, r.Unreadable)
	after := open(t, before.url, otherKey)
	for i := range last {
		requireOpens(t, after, last[i])
	}
}

// A secret that is changed between the read and the write stays changed, and a deleted one stays deleted.
func TestReencryptOverwritesNothing(t *testing.T) {
	t.Parallel()
	before, during := reencrypting(t)
	rotated, deleted := before.webhook(t, withHeaders), before.webhook(t)
	tx, err := before.db.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }) // it fails after the commit
	box, err := secrets.New(encryptionKey)
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `update webhooks set secret = $2 where id = $1`, rotated.ID[:], box.Seal([]byte("rotated"),
		secrets.Place{Table: "webhooks", Column: "secret", Tenant: rotated.TenantID, ID: rotated.ID[:], Owner: rotated.ID[:]}, secrets.FormPlace))
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `delete from webhooks where id = $1`, deleted.ID[:])
	require.NoError(t, err)

	done := make(chan error, 1)
	var r storage.Reencryption
	go func() {
		var err error
		r, err = during.Reencrypt(t.Context())
		done <- err
	}()
	require.Eventually(t, func() bool {
		return scalar[bool](t, before, `select exists (select from pg_stat_activity
			where datname = current_database() and wait_event_type = 'Lock' and query like '%update webhooks set secret%')`)
	}, 10*time.Second, 5*time.Millisecond, "it has read, and waits for the row")
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-done)
	require.Equal(t, storage.Reencryption{Webhooks: 1, Changed: 1}, r)
	rotated.Secret = "rotated"
	requireOpens(t, open(t, before.url, otherKey), rotated)
	_, err = before.Webhook(t.Context(), deleted.TenantID, deleted.ID)
	requireKind(t, hook.KindNotFound, err)
}

// Reencrypt can be interrupted at any time: what is done stays done, and the next run does the rest.
func TestReencryptCanBeInterrupted(t *testing.T) {
	t.Parallel()
	before, during := reencrypting(t)
	for range 150 {
		before.webhook(t)
	}
	last := scalar[[]byte](t, before, `select uuid_send(id) from webhooks order by id desc limit 1`)
	tx, err := before.db.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	_, err = tx.Exec(t.Context(), `select from webhooks where id = $1 for update`, [16]byte(last))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	var r storage.Reencryption
	go func() {
		var err error
		r, err = during.Reencrypt(ctx)
		done <- err
	}()
	require.Eventually(t, func() bool {
		return scalar[bool](t, before, `select exists (select from pg_stat_activity
			where datname = current_database() and wait_event_type = 'Lock' and query like '%update webhooks set secret%')`)
	}, 10*time.Second, 5*time.Millisecond, "it is in its second page")
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	require.Equal(t, 100, r.Changed)
	require.NoError(t, tx.Rollback(t.Context()))

	r, err = during.Reencrypt(t.Context())
	require.NoError(t, err)
	require.Equal(t, storage.Reencryption{Webhooks: 150, Changed: 50}, r)
}

// If this test fails because of a new sealed column, Reencrypt must seal that column anew, too.
func TestWhatIsSealed(t *testing.T) {
	t.Parallel()
	f := setup(t)
	require.Equal(t, "api_keys.hash, event_types.example, event_types.schema, event_types.schema_hash, idempotency_keys.fingerprint, kept_answers.answer, portal_sessions.hash, signing_keys.private_key, signing_keys.public_key, "+
		"webhooks.headers, webhooks.previous_secrets, webhooks.secret", scalar[string](t, f, `
		select string_agg(c.table_name || '.' || c.column_name, ', ' order by c.table_name, c.column_name)
		from information_schema.columns c
		where c.table_schema = 'public' and c.udt_name in ('bytea', '_bytea') and c.table_name !~ '^(events|attempts)(_|$)'`),
		"every column of bytes beside payloads and answers")
}
