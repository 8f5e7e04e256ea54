package storage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// P7: a look finds what was committed since the look before, once, and whose it is.
func TestChanges(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var last hook.Snapshot
	look := func() []hook.Change {
		t.Helper()
		before := time.Now().Add(-time.Minute)
		c, err := f.Changes(t.Context(), last)
		require.NoError(t, err)
		require.NotEmpty(t, c.Now)
		require.False(t, c.Ended.Before(c.Begun))
		require.True(t, c.Begun.After(before))
		last = c.Now
		return c.List
	}
	w := f.webhook(t)
	require.Empty(t, look(), "the first look has nothing to compare with")
	require.Empty(t, look())
	own := hook.Change{TenantID: w.TenantID}
	ofWebhook := hook.Change{TenantID: w.TenantID, WebhookID: w.ID}

	w = f.change(t, w, func(w *hook.Webhook) { w.Description = "changed" })
	require.Equal(t, []hook.Change{ofWebhook}, look())
	id := f.deliverN(t, w, 1)[0]
	require.Equal(t, []hook.Change{own}, look(), "an event")
	job, err := f.Job(t.Context(), id)
	require.NoError(t, err)
	f.record(t, storagetest.RecordOf(&job, answered(200)))
	require.Equal(t, []hook.Change{ofWebhook}, look(), "an attempt")
	require.Empty(t, look())

	theirs := f.tenant(t, "theirs")
	require.Equal(t, []hook.Change{{TenantID: theirs}}, look())
	f.exec(t, `insert into event_types (tenant_id, name, shared) values ($1, 'a.shared', true)`, [16]byte(hook.DefaultTenant()))
	require.Equal(t, []hook.Change{{}}, look(), "a shared type concerns everybody")
	f.exec(t, `insert into event_types (tenant_id, name) values ($1, 'their.own')`, [16]byte(theirs))
	require.Equal(t, []hook.Change{{TenantID: theirs}}, look())
	r := f.replay(t, w, hook.ReplayAll, nil)
	require.Contains(t, look(), own)
	f.exec(t, `update replays set rate = 7 where id = $1`, [16]byte(r.ID))
	require.Equal(t, []hook.Change{own}, look())
	f.exec(t, `delete from webhooks where id = $1`, [16]byte(w.ID))
	require.Contains(t, look(), ofWebhook)

	// What is committed late is found, although something later was found before.
	tx := f.begin(t)
	_, err = tx.Exec(t.Context(), `update tenants set name = 'renamed' where id = $1`, [16]byte(theirs))
	require.NoError(t, err)
	f.publish(t, "user.created")
	require.Equal(t, []hook.Change{own}, look())
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, []hook.Change{{TenantID: theirs}}, look())

	f.exec(t, `update changes set at = at - interval '1 minute' where tenant_id = $1`, [16]byte(theirs))
	require.NoError(t, f.PurgeChanges(t.Context(), 30*time.Second))
	require.Zero(t, scalar[int](t, f, `select count(*) from changes where tenant_id = $1`, [16]byte(theirs)))
	require.Positive(t, scalar[int](t, f, `select count(*) from changes`))
}
