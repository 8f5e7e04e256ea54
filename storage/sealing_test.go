package storage_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/internal/secrets"
	"grapnel/storage"
)

// formsSealed counts the sealed values by form.
func (f *fixture) formsSealed(t *testing.T) map[secrets.Form]int {
	t.Helper()
	rows, err := f.db.Query(t.Context(), `
		select get_byte(v, 0), count(*) from (
			select secret from webhooks union all select headers from webhooks where headers is not null
			union all select unnest(previous_secrets) from webhooks union all select private_key from signing_keys) as s(v)
		group by 1`)
	require.NoError(t, err)
	defer rows.Close()
	forms := map[secrets.Form]int{}
	for rows.Next() {
		var form secrets.Form
		var n int
		require.NoError(t, rows.Scan((*byte)(&form), &n))
		forms[form] = n
	}
	require.NoError(t, rows.Err())
	return forms
}

// A person who can write to the tables can't make the API show a sealed value.
func TestSealedValuesStayInTheirPlace(t *testing.T) {
	t.Parallel()
	f := setup(t)
	other := f.tenant(t, "thief")
	w := f.inOverlap(t, f.webhook(t, withHeaders, asymmetric))
	require.Equal(t, map[secrets.Form]int{secrets.FormPlace: 5}, f.formsSealed(t))
	read := func(tenant hook.TenantID, id hook.WebhookID) error {
		_, err := f.Webhook(t.Context(), tenant, id)
		return err
	}
	const belongs = "belongs to something else"
	f.exec(t, `create table kept as select * from webhooks`)
	for name, sql := range map[string]string{
		"headers as the secret":           `update webhooks set secret = headers`,
		"a previous secret as the secret": `update webhooks set secret = previous_secrets[1]`,
		"the secret as headers":           `update webhooks set headers = secret`,
		"the secret as a previous one":    `update webhooks set previous_secrets[1] = secret`,
	} {
		f.exec(t, sql)
		require.ErrorContains(t, read(w.TenantID, w.ID), belongs, name)
		f.exec(t, `update webhooks w set secret = k.secret, headers = k.headers, previous_secrets = k.previous_secrets from kept k where k.id = w.id`)
		require.NoError(t, read(w.TenantID, w.ID), name)
	}
	f.exec(t, `update webhooks set tenant_id = $1`, other[:])
	require.ErrorContains(t, read(other, w.ID), belongs)

	// This webhook's id is the tenant's, and its secret is the tenant's signing key.
	f.exec(t, `insert into webhooks (id, tenant_id, profile, url, events, secret, active, timeout_ms, max_attempts, created_at, updated_at)
		select tenant_id, tenant_id, 'standard', 'http://127.0.0.1:1/', array['user.created'], private_key, true, 1000, 1, now(), now() from signing_keys`)
	require.ErrorContains(t, read(w.TenantID, hook.WebhookID(w.TenantID)), belongs)
}

// While processes of older versions run, which can't open the new form, no value is sealed in it. Reencrypt
// converts everything to the new form, and from then on every process uses it.
func TestTheFormOfSealing(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	url := blank(t)
	migrateTo(t, url, lastRelease)
	db, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(db.Close)
	// A process of an older version has started: its admin key exists.
	_, err = db.Exec(t.Context(), `insert into api_keys (id, tenant_id, name, hash, scopes) values (gen_random_uuid(), $1, 'GRAPNEL_ADMIN_KEY', sha256('key'), '{admin}')`,
		hook.DefaultTenant())
	require.NoError(t, err)
	_, err = storage.Migrate(t.Context(), url)
	require.NoError(t, err)
	f := &fixture{Store: open(t, url, encryptionKey), url: url, db: db}

	w := f.inOverlap(t, f.webhook(t, withHeaders, asymmetric))
	require.Equal(t, map[secrets.Form]int{secrets.FormOwner: 5}, f.formsSealed(t))
	require.Equal(t, w, f.health(t, w))
	another := open(t, url, encryptionKey)
	r, err := another.Reencrypt(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int{1, 1}, []int{r.Changed, r.ChangedKeys})
	require.Equal(t, map[secrets.Form]int{secrets.FormPlace: 5}, f.formsSealed(t))
	requireOpens(t, f.Store, w)
	job, err := f.Job(t.Context(), f.delivery(t, w))
	require.NoError(t, err)
	require.NoError(t, job.Err)

	second := f.webhook(t, withHeaders)
	_, err = f.RotateSigningKey(t.Context(), w.TenantID, 0)
	require.NoError(t, err)
	require.Equal(t, map[secrets.Form]int{secrets.FormPlace: 7}, f.formsSealed(t))
	requireOpens(t, another, second)
	r, err = f.Reencrypt(t.Context())
	require.NoError(t, err)
	require.Zero(t, r.Changed+r.ChangedKeys)
}

// A new database has no processes of older versions.
func TestANewDatabaseSealsInPlace(t *testing.T) {
	t.Parallel()
	f := setup(t)
	require.Equal(t, int16(secrets.FormPlace), scalar[int16](t, f, `select form from sealing`))
	f.exec(t, `delete from sealing`) // as if the database had had webhooks when it was migrated
	old := open(t, f.url, encryptionKey)
	_, err := old.CreateWebhook(t.Context(), f.webhook(t))
	require.NoError(t, err)
	require.Equal(t, secrets.FormOwner, secrets.Form(scalar[int16](t, f, `select get_byte(secret, 0)::smallint from webhooks order by id desc limit 1`)))
}
