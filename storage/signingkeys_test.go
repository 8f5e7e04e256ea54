package storage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
)

func asymmetric(w *hook.Webhook) { w.Schemes = []hook.Scheme{hook.SchemeV1, hook.SchemeV1a} }

// signers returns the public keys that match the signatures of the webhook's requests.
func (f *fixture) signers(t *testing.T, w hook.Webhook) (list []string) {
	t.Helper()
	a, err := f.Publish(t.Context(), hook.Publication{TenantID: w.TenantID, Type: "user.created", Data: eventData()})
	require.NoError(t, err)
	deliveries, err := f.DeliveriesOfEvent(t.Context(), a.Event.ID, 1000)
	require.NoError(t, err)
	for _, d := range deliveries {
		if d.WebhookID != w.ID {
			continue
		}
		job, err := f.Job(t.Context(), d.ID)
		require.NoError(t, err)
		require.NoError(t, job.Err)
		for _, key := range job.SigningKeys {
			list = append(list, string(key[32:]))
		}
	}
	return list
}

// published returns the public keys that the API shows to the tenant's receivers.
func (f *fixture) published(t *testing.T, tenant hook.TenantID) (list []string) {
	t.Helper()
	keys, err := f.SigningKeys(t.Context(), tenant)
	require.NoError(t, err)
	for _, k := range keys {
		list = append(list, string(k.Public))
	}
	return list
}

// The first webhook with v1a creates its tenant's key. The keys that sign are the keys that are published.
func TestSigningKeys(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.tenant(t, "acme")
	plain := f.webhook(t)
	require.Empty(t, f.published(t, hook.DefaultTenant()))
	require.Empty(t, f.signers(t, plain))

	first, second := f.webhook(t, asymmetric), f.webhook(t, asymmetric)
	key := f.published(t, hook.DefaultTenant())
	require.Len(t, key, 1)
	require.Equal(t, key, f.signers(t, first))
	require.Equal(t, key, f.signers(t, second))
	require.Empty(t, f.signers(t, plain), "it has not asked for v1a")

	require.Empty(t, f.published(t, acme))
	w := f.webhook(t, ofTenant(acme))
	w, err := f.UpdateWebhook(t.Context(), acme, w.ID, func(w *hook.Webhook) error {
		asymmetric(w)
		return nil
	})
	require.NoError(t, err)
	require.Len(t, f.signers(t, w), 1)
	require.Equal(t, f.published(t, acme), f.signers(t, w))
	require.NotEqual(t, key, f.published(t, acme), "tenants can't sign for each other")
}

// If several webhooks are created at once, the tenant has one current key.
func TestTheFirstSigningKeyIsMadeOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var g errgroup.Group
	for range 8 {
		g.Go(func() error {
			w := hook.Webhook{TenantID: hook.DefaultTenant(), URL: "https://example.com", Events: []string{"*"}, Secret: "x", Active: true}
			asymmetric(&w)
			w.Normalize()
			_, err := f.CreateWebhook(t.Context(), w)
			return err
		})
	}
	require.NoError(t, g.Wait())
	require.Len(t, f.published(t, hook.DefaultTenant()), 1)
}

// After a rotation the old key signs as well for the overlap. Then it is removed.
func TestRotateSigningKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t, asymmetric)
	old := f.signers(t, w)
	keys, err := f.RotateSigningKey(t.Context(), w.TenantID, time.Hour)
	require.NoError(t, err)
	require.Len(t, keys, 2)
	require.Nil(t, keys[0].ExpiresAt)
	require.WithinDuration(t, time.Now().Add(time.Hour), *keys[1].ExpiresAt, time.Minute)
	require.Equal(t, []string{string(keys[0].Public), old[0]}, f.signers(t, w), "the new one first")
	require.Equal(t, f.signers(t, w), f.published(t, w.TenantID))

	f.exec(t, `update signing_keys set expires_at = now() where expires_at is not null`)
	require.Equal(t, []string{string(keys[0].Public)}, f.signers(t, w))
	require.Equal(t, f.signers(t, w), f.published(t, w.TenantID))
	n, err := f.ForgetSecrets(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	require.Equal(t, 1, scalar[int](t, f, `select count(*) from signing_keys`))

	for range hook.MaxSigningKeys - 1 {
		_, err = f.RotateSigningKey(t.Context(), w.TenantID, time.Hour)
		require.NoError(t, err)
	}
	before := f.signers(t, w)
	_, err = f.RotateSigningKey(t.Context(), w.TenantID, time.Hour)
	requireKind(t, hook.KindPrecondition, err)
	require.Equal(t, before, f.signers(t, w))
	keys, err = f.RotateSigningKey(t.Context(), w.TenantID, 0)
	require.NoError(t, err)
	require.Len(t, keys, 1)
	require.NotContains(t, before, string(keys[0].Public))
	require.Equal(t, 1, scalar[int](t, f, `select count(*) from signing_keys`), "without an overlap nothing of before is left")

	_, err = f.RotateSigningKey(t.Context(), hook.TenantID{1}, time.Hour)
	requireKind(t, hook.KindNotFound, err)
}

// A delivery whose signing key can't be read is not sent. Other deliveries are not affected.
func TestSigningKeyThatCannotBeRead(t *testing.T) {
	t.Parallel()
	f := setup(t)
	plain, w := f.webhook(t), f.webhook(t, asymmetric)
	id := f.delivery(t, w)
	f.exec(t, `update signing_keys set private_key = set_byte(private_key, 30, get_byte(private_key, 30) # 1)`)
	job, err := f.Job(t.Context(), id)
	require.NoError(t, err)
	require.ErrorContains(t, job.Err, "signing key of "+w.TenantID.String()+": open sealed value: it was changed")
	f.exec(t, `delete from signing_keys`)
	job, err = f.Job(t.Context(), id)
	require.NoError(t, err)
	require.ErrorContains(t, job.Err, "no signing key")
	job, err = f.Job(t.Context(), f.delivery(t, plain))
	require.NoError(t, err)
	require.NoError(t, job.Err)
}
