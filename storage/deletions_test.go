package storage_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/storage/storagetest"
)

// mark is in everything that a tenant stores, to find what is left.
const mark = "personal-mark"

// furnish gives a tenant one of everything, with the mark in it.
func (f *fixture) furnish(t *testing.T, tenant hook.TenantID, events int) (webhook hook.Webhook, key hook.Secret) {
	t.Helper()
	ctx := t.Context()
	webhook = f.webhook(t, ofTenant(tenant), func(w *hook.Webhook) {
		w.URL, w.Description, w.Events = "https://example.com/"+mark, mark, []string{mark + ".y"}
		w.Headers = map[string]hook.Secret{"X-Mark": mark}
	})
	momento := f.webhook(t, ofTenant(tenant), func(w *hook.Webhook) {
		w.Profile, w.Cache, w.Name, w.Events = hook.ProfileMomento, mark, mark, []string{mark}
	})
	f.change(t, webhook, func(w *hook.Webhook) { w.Events = []string{"user.*", "user.created", mark + ".x"} })
	key = hook.Secret("gk_" + tenant.String())
	_, err := f.CreateKey(ctx, hook.APIKey{TenantID: tenant, Name: mark, Scopes: []hook.Scope{hook.ScopePublish}}, key)
	require.NoError(t, err)
	f.exec(t, `insert into event_types (tenant_id, name, description) values ($1, $2, $2)`, [16]byte(tenant), mark)
	f.exec(t, `insert into signing_keys (public_key, tenant_id, private_key) values (sha256($2::bytea), $1, $2)`, [16]byte(tenant), append([]byte(mark), tenant[:]...))
	f.exec(t, `insert into kept_answers (tenant_id, operation, key, answer, expires_at) values ($1, 'o', $2, $2::text::bytea, now() + interval '1 day')`, [16]byte(tenant), mark)
	list := make([]hook.Publication, 0, events)
	for i := range events {
		list = append(list, hook.Publication{
			TenantID: tenant, Type: "user.created", Data: []byte(`"` + mark + strings.Repeat("x", i%7*1000) + `"`),
			OrganizationID: mark, References: []string{mark, fmt.Sprint(mark, i)}, IdempotencyKey: fmt.Sprint(mark, i),
		})
	}
	list = append(list, hook.Publication{TenantID: tenant, Type: mark, Cache: mark, Data: []byte(`"` + mark + `"`), TokenID: mark})
	accepted, errs := f.PublishAll(ctx, list)
	var attempted []hook.EventID
	for i := range errs {
		require.NoError(t, errs[i])
		if i%3 == 0 {
			attempted = append(attempted, accepted[i].Event.ID)
		}
	}
	var records []hook.Record
	for _, job := range must(f.Outstanding(ctx, attempted, 0, 1)) {
		a := answered(500)
		a.ResponseBody, a.URL = []byte(mark), mark
		records = append(records, storagetest.RecordOf(&job, a))
	}
	_, err = f.recorded(ctx, records)
	require.NoError(t, err)
	f.exec(t, `insert into shared_workflows (event_id, workflow_id) values ($1, 'w')`, [16]byte(accepted[0].Event.ID))
	_, err = f.CreateTest(ctx, momento, hook.Publication{Type: mark, Cache: mark, Data: []byte(`"` + mark + `"`)})
	require.NoError(t, err)
	_, err = f.CreateReplay(ctx, hook.Replay{
		TenantID: tenant, WebhookID: webhook.ID, Status: hook.ReplayAll, EventTypes: []string{mark}, Since: time.Now().Add(-time.Hour), Until: time.Now(), Rate: 10,
	})
	require.NoError(t, err)
	gone := f.webhook(t, ofTenant(tenant), func(w *hook.Webhook) {
		w.Profile, w.Cache, w.Name, w.Events = hook.ProfileMomento, mark, mark+"2", []string{mark}
	})
	require.NoError(t, f.DeleteWebhook(ctx, tenant, gone.ID))
	return webhook, key
}

// step makes steps of the deletion until the tenant is gone, and does the cancellations meanwhile, as sweepers do.
func (f *fixture) stepThrough(t *testing.T, tenant hook.TenantID) (last hook.DeletionStep, steps int) {
	t.Helper()
	for steps = 1; ; steps++ {
		require.Less(t, steps, 1000, "it never ends: %+v", last)
		step, err := f.DeletionStep(t.Context(), tenant)
		require.NoError(t, err)
		require.GreaterOrEqual(t, step.Events, last.Events)
		if last = step; step.Gone {
			return last, steps
		}
		if step.Waiting {
			f.cancelAll(t)
		}
	}
}

// left returns the tables in which the mark of a tenant is left, with the number of rows, apart from those that stay.
func (f *fixture) left(t *testing.T, tenant hook.TenantID) map[string]int {
	t.Helper()
	found := map[string]int{}
	rows, err := f.db.Query(t.Context(), `
		select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition and c.relname not in ('audit_log', 'tenant_usage', 'usage_deltas', 'stats', 'changes')`)
	require.NoError(t, err)
	var tables []string
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		tables = append(tables, name)
	}
	require.NoError(t, rows.Err())
	require.Greater(t, len(tables), 20)
	for _, table := range tables {
		n := scalar[int](t, f, `select count(*) from `+table+` x where strpos(x::text, $1) > 0 or strpos(x::text, $2) > 0 or strpos(x::text, $3) > 0`,
			mark, fmt.Sprintf("%x", mark), hookUUID(tenant))
		if n > 0 {
			found[table] = n
		}
	}
	return found
}

// hookUUID is the id as the database shows it.
func hookUUID(id hook.TenantID) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// K8: nothing of a deleted tenant is left but usage and the audit log, and another tenant keeps everything.
func TestDeleteTenant(t *testing.T) {
	t.Parallel()
	f := setup(t)
	other := f.tenant(t, "other")
	f.webhook(t, ofTenant(other))
	for range 30 {
		_, err := f.publishFor(t, other, "", hook.Preconditions{})
		require.NoError(t, err)
	}
	acme := f.customer(t, "acme")
	f.exec(t, `update tenants set name = $2 where id = $1`, [16]byte(acme), mark)
	webhook, key := f.furnish(t, acme, 700)
	before := f.left(t, acme)
	for _, table := range []string{
		"tenants", "webhooks", "subscriptions", "webhook_history", "deleted_webhooks", "api_keys", "event_types", "topics", "signing_keys", "replays",
		"idempotency_keys", "kept_answers", "events", "event_references", "attempts", "deliveries",
	} {
		require.NotZero(t, before[table], "%s is part of the test", table)
	}
	ctx := hook.WithActor(t.Context(), hook.Actor{Kind: "api_key", ID: "key_1", Name: "k"})
	deleting, err := f.DeleteTenant(ctx, "acme")
	require.NoError(t, err)
	require.Equal(t, hook.TenantDeleting, deleting.Status)
	require.Equal(t, hook.DeletionCanceling, deleting.Deletion.Phase)
	require.Equal(t, []hook.TenantID{acme}, must(f.LostDeletions(t.Context(), 30*time.Second, 10)), "it is due")
	require.Empty(t, must(f.LostDeletions(t.Context(), 30*time.Second, 10)))

	_, err = f.Authenticate(t.Context(), hook.HashKey(key), "")
	requireKind(t, hook.KindNotFound, err)
	_, err = f.publishFor(t, acme, "", hook.Preconditions{})
	requireKind(t, hook.KindNoTenant, err)
	_, err = f.CreateTest(t.Context(), webhook, hook.Publication{Type: "user.created", Data: eventData()})
	requireKind(t, hook.KindNoTenant, err)
	w := hook.Webhook{TenantID: acme, URL: "https://example.com", Events: []string{"*"}, Secret: "whsec_abc123", Active: true}
	w.Normalize()
	_, err = f.CreateWebhook(t.Context(), w)
	requireKind(t, hook.KindNoTenant, err)
	_, err = f.UpdateTenant(t.Context(), "acme", func(t *hook.Tenant) error { return nil })
	requireKind(t, hook.KindPrecondition, err)
	_, _, err = f.put(t.Context(), "acme", "other")
	requireKind(t, hook.KindPrecondition, err)
	_, err = f.Tenant(t.Context(), "acme")
	requireKind(t, hook.KindPrecondition, err)
	again, err := f.DeleteTenant(ctx, acme.String())
	require.NoError(t, err)
	require.Equal(t, deleting.Deletion, again.Deletion)
	require.Equal(t, 1, scalar[int](t, f, `select count(*) from audit_log where action = 'tenant.deleted'`))

	last, steps := f.stepThrough(t, acme)
	require.EqualValues(t, 2, last.Webhooks)
	require.EqualValues(t, 702, last.Events)
	require.EqualValues(t, 702, last.Deliveries)
	require.Positive(t, last.Canceled)
	require.Greater(t, steps, 8)
	f.cancelAll(t)
	f.exec(t, `delete from drains where webhook_id not in (select id from webhooks)`) // as its drain does
	require.Empty(t, f.left(t, acme))
	require.Equal(t, 30, scalar[int](t, f, `select count(*) from events where tenant_id = $1`, [16]byte(other)))
	require.Equal(t, 30, scalar[int](t, f, `select count(*) from deliveries where tenant_id = $1`, [16]byte(other)))
	require.Equal(t, 0, scalar[int](t, f, `select count(*) from deliveries d where not exists (select from events e where e.id = d.event_id)`))
	require.Equal(t, 0, scalar[int](t, f, `select count(*) from attempts a where not exists (select from deliveries d where d.id = a.delivery_id)`))
	require.Equal(t, 0, scalar[int](t, f, `select count(*) from outbox o where not exists (select from events e where e.id = o.event_id)`))
	require.Positive(t, scalar[int](t, f, `select count(*) from usage_deltas where tenant_id = $1`, [16]byte(acme)))
	_, err = f.FindTenant(t.Context(), acme.String())
	requireKind(t, hook.KindNoTenant, err)
	_, err = f.DeletionStep(t.Context(), acme)
	requireKind(t, hook.KindNoTenant, err)
	f.customer(t, "acme") // the external id is free
}

// K8: the tenant default can't be deleted.
func TestDefaultCannotBeDeleted(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, err := f.DeleteTenant(t.Context(), "default")
	requireKind(t, hook.KindPrecondition, err)
	_, err = f.DeleteTenant(t.Context(), "nobody")
	requireKind(t, hook.KindNoTenant, err)
	require.Equal(t, 1, scalar[int](t, f, `select count(*) from tenants where status = 'active'`))
}

// K8: a step that fails anywhere is done again, whole: nothing is left, and nothing of others is touched.
func TestDeletionIsCutShort(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	acme := f.customer(t, "acme")
	f.exec(t, `update tenants set name = $2 where id = $1`, [16]byte(acme), mark)
	f.furnish(t, acme, 300)
	_, err := f.DeleteTenant(t.Context(), "acme")
	require.NoError(t, err)
	f.cancelAll(t)
	for n := 0; ; n++ {
		require.Less(t, n, 500)
		// The context of every second try ends somewhere in the step.
		limit := time.Duration(n%20) * time.Millisecond
		if n%2 == 1 {
			limit = time.Minute
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		step, err := f.DeletionStep(ctx, acme)
		cancel()
		if hook.KindOf(err) == hook.KindNoTenant {
			break
		}
		if err == nil && step.Gone {
			break
		}
		if err == nil && step.Waiting {
			f.cancelAll(t)
		}
		require.Zero(t, scalar[int](t, f, `select count(*) from deliveries d where not exists (select from events e where e.id = d.event_id)`))
		require.Zero(t, scalar[int](t, f, `select count(*) from attempts a where not exists (select from deliveries d where d.id = a.delivery_id)`))
	}
	f.exec(t, `delete from drains`)
	require.Empty(t, f.left(t, acme))
}

// K8: one event with many deliveries, and one delivery with many attempts, are erased in bounded steps.
func TestErasingIsBounded(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	for range 30 {
		f.webhook(t, ofTenant(acme))
	}
	accepted, err := f.publishFor(t, acme, "", hook.Preconditions{})
	require.NoError(t, err)
	id := accepted.Event.ID
	// 1,200 more deliveries of the event, and 1,300 attempts of the first one.
	f.exec(t, `
		insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, delivered_at, created_at, updated_at)
		select encode(substring(uuid_send($1::uuid) for 8) || substring(uuid_send(gen_random_uuid()) from 9), 'hex')::uuid, $1, gen_random_uuid(), $2, 'user.created',
			'success', now(), now(), now() from generate_series(1, 1200)`, [16]byte(id), [16]byte(acme))
	f.exec(t, `
		insert into attempts (id, delivery_id, number, manual, url, started_at, duration_us, dns_us, connect_us, tls_us, first_byte_us,
			remote_addr, request_headers, error_class, error)
		select gen_random_uuid(), d.id, n, true, '', now(), 0, 0, 0, 0, 0, '', '{}', '', ''
		from (select id from deliveries order by id limit 1) d, generate_series(1, 1300) n`)
	f.exec(t, `update deliveries set attempts = 1300 where id = (select id from deliveries order by id limit 1)`)
	_, err = f.publishFor(t, acme, "", hook.Preconditions{})
	require.NoError(t, err)
	_, err = f.DeleteTenant(t.Context(), "acme")
	require.NoError(t, err)
	last := hook.DeletionStep{}
	for !last.Gone {
		step, err := f.DeletionStep(t.Context(), acme)
		require.NoError(t, err)
		require.LessOrEqual(t, step.Deliveries-last.Deliveries, int64(500))
		if step.Waiting {
			f.cancelAll(t)
		}
		last = step
	}
	require.EqualValues(t, 1260, last.Deliveries)
	require.EqualValues(t, 2, last.Events)
	require.EqualValues(t, 60, last.Canceled)
	require.Zero(t, scalar[int](t, f, `select count(*) from attempts`))
}

// K8: an attempt that is recorded while its delivery is erased leaves nothing, whichever is first.
func TestErasingBesideARecording(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	w := f.webhook(t, ofTenant(acme))
	accepted, err := f.publishFor(t, acme, "", hook.Preconditions{})
	require.NoError(t, err)
	d := must(f.DeliveriesOfEvent(t.Context(), accepted.Event.ID, 10))[0]
	job, err := f.Job(t.Context(), d.ID)
	require.NoError(t, err)
	require.Equal(t, w.ID, job.Webhook.ID)
	_, err = f.DeleteTenant(t.Context(), "acme")
	require.NoError(t, err)
	f.stepThrough(t, acme)
	_, err = f.recorded(t.Context(), []hook.Record{{Delivery: job.Delivery, Attempt: answered(200), Verdict: hook.Verdict{State: hook.StateSuccess}}})
	require.NoError(t, err)
	require.Zero(t, scalar[int](t, f, `select count(*) from attempts`))
	require.Zero(t, scalar[int](t, f, `select count(*) from deliveries`))
}

// K8: erasing waits for the transactions that were storing events when it began.
func TestErasingWaitsForWriters(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	_, err := f.DeleteTenant(t.Context(), "acme")
	require.NoError(t, err)
	step, err := f.DeletionStep(t.Context(), acme)
	require.NoError(t, err)
	require.Equal(t, hook.DeletionErasing, step.Phase)
	tx, err := f.db.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	_, err = tx.Exec(t.Context(), `insert into events (id, tenant_id, type, data, deliveries, created_at) values ($1, $2, 'a', '1', 0, now())`,
		[16]byte(hook.EventID(hook.IDTime(time.Now().Add(-time.Minute)))), [16]byte(acme))
	require.NoError(t, err)
	for range 2 {
		step, err = f.DeletionStep(t.Context(), acme)
		require.NoError(t, err)
		require.True(t, step.Waiting)
		require.Equal(t, hook.DeletionErasing, step.Phase)
	}
	require.NoError(t, tx.Commit(t.Context()))
	last, _ := f.stepThrough(t, acme)
	require.EqualValues(t, 1, last.Events)
}

// K8: what a request that was authenticated before stores meanwhile is found.
func TestDeletionFindsLateKeys(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	_, err := f.DeleteTenant(t.Context(), "acme")
	require.NoError(t, err)
	for phase := hook.DeletionCanceling; phase != hook.DeletionFinishing; {
		step, err := f.DeletionStep(t.Context(), acme)
		require.NoError(t, err)
		phase = step.Phase
	}
	_, err = f.CreateKey(t.Context(), hook.APIKey{TenantID: acme, Name: "late", Scopes: []hook.Scope{hook.ScopePublish}}, "gk_late")
	require.NoError(t, err)
	f.stepThrough(t, acme)
	require.Zero(t, scalar[int](t, f, `select count(*) from api_keys where tenant_id = $1`, [16]byte(acme)))
}

// K8: a topic token ends with its tenant.
func TestTopicTokenOfADeletedTenant(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	key, err := f.CreateKey(t.Context(), hook.APIKey{TenantID: acme, Name: "k", Scopes: []hook.Scope{hook.ScopeSubscribe}}, "gk_acme")
	require.NoError(t, err)
	token, err := f.CreateTopicToken(t.Context(), hook.TopicToken{TenantID: acme, Key: key.ID, Cache: "c", Topics: []string{"t"}, Until: time.Now().Add(time.Hour)})
	require.NoError(t, err)
	_, err = f.TopicToken(t.Context(), token)
	require.NoError(t, err)
	_, err = f.DeleteTenant(t.Context(), "acme")
	require.NoError(t, err)
	_, err = f.TopicToken(t.Context(), token)
	requireKind(t, hook.KindNotFound, err)
}
