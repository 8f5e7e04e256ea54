package storage_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

// acting returns a context of changes by a client.
func acting(t *testing.T) context.Context {
	t.Helper()
	return hook.WithActor(t.Context(), hook.Actor{Kind: hook.ActorKey, ID: "key_1", Name: "Backend", Address: "203.0.113.7"})
}

// log returns the newest entries of the default tenant's audit log, newest first.
func (f *fixture) log(t *testing.T) []hook.AuditEntry {
	t.Helper()
	tenant := hook.DefaultTenant()
	list, next, err := f.AuditLog(t.Context(), hook.AuditFilter{Of: hook.OneTenant(tenant)}, hook.Page{Limit: 100})
	require.NoError(t, err)
	require.Nil(t, next)
	return list
}

// actions returns the actions in the log, newest first.
func (f *fixture) actions(t *testing.T) (list []hook.AuditAction) {
	t.Helper()
	for _, e := range f.log(t) {
		list = append(list, e.Action)
	}
	return list
}

// changed returns the members of an entry with their values before and after; secret ones have no values.
func changed(e hook.AuditEntry) map[string][2]string {
	list := map[string][2]string{}
	for _, c := range e.Changes {
		list[c.Member] = [2]string{string(c.Before), string(c.After)}
		if c.Secret {
			list[c.Member] = [2]string{"secret", "secret"}
		}
	}
	return list
}

// K11: an entry has the actor, the target, and the changed members before and after. Secrets and the values of headers
// are never in it.
func TestAuditOfAWebhook(t *testing.T) {
	t.Parallel()
	f, ctx := setup(t), acting(t)
	w, err := f.CreateWebhook(ctx, hook.Webhook{
		TenantID: hook.DefaultTenant(), Profile: hook.ProfileStandard, URL: "https://example.com/one", Events: []string{"user.created"},
		Secret: "whsec_c2VjcmV0LXNlY3JldA==", Headers: map[string]hook.Secret{"X-Token": "hidden-value"}, Active: true,
		Schemes: []hook.Scheme{hook.SchemeV1}, Description: "Billing", Timeout: 15 * time.Second, MaxAttempts: 5, Health: hook.HealthHealthy,
	})
	require.NoError(t, err)
	created := f.log(t)[0]
	require.Equal(t, hook.Actor{Kind: hook.ActorKey, ID: "key_1", Name: "Backend", Address: "203.0.113.7"}, created.Actor)
	require.Equal(t, hook.AuditTarget{Kind: hook.TargetWebhook, ID: w.ID.String(), Name: "Billing"}, created.Target)
	require.WithinDuration(t, time.Now(), created.At(), time.Minute)
	require.Equal(t, map[string][2]string{
		"profile": {"", `"standard"`}, "url": {"", `"https://example.com/one"`}, "events": {"", `["user.created"]`}, "active": {"", "true"},
		"paused": {"", "false"}, "description": {"", `"Billing"`}, "timeout_seconds": {"", "15"}, "max_attempts": {"", "5"},
		"trace_context": {"", "false"}, "signature_schemes": {"", `["v1"]`}, "secret": {"secret", "secret"}, "headers.X-Token": {"secret", "secret"},
	}, changed(created))

	update := func(change func(w *hook.Webhook)) {
		t.Helper()
		_, err := f.UpdateWebhook(ctx, w.TenantID, w.ID, func(w *hook.Webhook) error {
			change(w)
			return nil
		})
		require.NoError(t, err)
	}
	update(func(w *hook.Webhook) {
		w.URL, w.RateLimit, w.Headers = "https://example.com/two", 7, map[string]hook.Secret{"X-Other": "hidden-value"}
	})
	require.Equal(t, map[string][2]string{
		"url": {`"https://example.com/one"`, `"https://example.com/two"`}, "rate_limit": {"0", "7"},
		"headers.X-Token": {"secret", "secret"}, "headers.X-Other": {"secret", "secret"},
	}, changed(f.log(t)[0]))
	update(func(w *hook.Webhook) { w.Replace("whsec_b3RoZXItc2VjcmV0") })
	update(func(*hook.Webhook) {}) // nothing differs: no entry
	_, err = f.UpdateWebhook(ctx, w.TenantID, w.ID, func(w *hook.Webhook) error {
		w.URL = "https://example.com/refused"
		return errors.New("refused")
	})
	require.Error(t, err)
	_, err = f.WebhookForSecret(ctx, w.TenantID, w.ID, func(*hook.Webhook) error { return errors.New("refused") })
	require.Error(t, err)
	read, err := f.WebhookForSecret(ctx, w.TenantID, w.ID, func(*hook.Webhook) error { return nil })
	require.NoError(t, err)
	require.Equal(t, "whsec_b3RoZXItc2VjcmV0", read.Secret.Reveal())
	require.NoError(t, f.DeleteWebhook(ctx, w.TenantID, w.ID))
	require.Equal(t, []hook.AuditAction{
		hook.AuditWebhookDeleted, hook.AuditSecretRead, hook.AuditSecretRotated, hook.AuditWebhookUpdated, hook.AuditWebhookCreated,
	}, f.actions(t))
	require.Equal(t, [2]string{`"https://example.com/two"`, ""}, changed(f.log(t)[0])["url"])
	for _, e := range f.log(t) {
		text, err := json.Marshal(e.Changes)
		require.NoError(t, err)
		require.NotContains(t, string(text), "hidden-value")
		require.NotContains(t, string(text), "whsec_")
	}
}

// K11: what Grapnel does by itself has no actor, and no entry.
func TestAuditWithoutAnActor(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	_, err := f.UpdateWebhook(t.Context(), w.TenantID, w.ID, func(w *hook.Webhook) error {
		w.URL = "https://example.com/other"
		return nil
	})
	require.NoError(t, err)
	require.Empty(t, f.log(t))
}

// K11: neither a change without its entry nor an entry without its change: if the log can't be written, nothing changes.
func TestChangesFailWithTheirEntries(t *testing.T) {
	t.Parallel()
	f, ctx := setup(t), acting(t)
	w := f.webhook(t)
	tenant := hook.DefaultTenant()
	k, err := f.CreateKey(t.Context(), hook.APIKey{TenantID: tenant, Name: "one", Scopes: []hook.Scope{hook.ScopeRead}}, secrets.NewAPIKey())
	require.NoError(t, err)
	r, err := f.CreateReplay(t.Context(), hook.Replay{
		TenantID: tenant, WebhookID: w.ID, Status: hook.ReplayAll, Since: time.Now().Add(-time.Hour), Until: time.Now(), Rate: 5,
	})
	require.NoError(t, err)
	description := "changed"
	state := func() string {
		return scalar[string](t, f, `select concat_ws(' ', (select count(*) from webhooks), (select count(*) from api_keys where revoked_at is null),
			(select count(*) from event_types), (select count(*) from tenants), (select count(*) from replays), (select count(*) from signing_keys),
			(select count(*) from deliveries), (select string_agg(url, '') from webhooks), (select sum(rate) from replays), (select count(*) from sealing))`)
	}
	changes := map[string]func() error{
		"create webhook": func() error { _, err := f.CreateWebhook(ctx, w); return err },
		"update webhook": func() error {
			_, err := f.UpdateWebhook(ctx, tenant, w.ID, func(w *hook.Webhook) error {
				w.URL = "https://example.com/other"
				return nil
			})
			return err
		},
		"delete webhook": func() error { return f.DeleteWebhook(ctx, tenant, w.ID) },
		"read secret": func() error {
			_, err := f.WebhookForSecret(ctx, tenant, w.ID, func(*hook.Webhook) error { return nil })
			return err
		},
		"create key": func() error {
			_, err := f.CreateKey(ctx, hook.APIKey{TenantID: tenant, Name: "two", Scopes: []hook.Scope{hook.ScopeRead}}, secrets.NewAPIKey())
			return err
		},
		"create key within": func() error {
			_, err := f.CreateKeyWithin(ctx, hook.APIKey{TenantID: tenant, Name: "two", Scopes: []hook.Scope{hook.ScopeRead}}, secrets.NewAPIKey(), 100)
			return err
		},
		"revoke key": func() error { return f.RevokeKey(ctx, tenant, k.ID, hook.RankOperator) },
		"put event type": func() error {
			_, _, err := f.PutEventType(ctx, tenant, hook.NewEventType{Name: "invoice.paid", Description: &description})
			return err
		},
		"create tenant": func() error {
			_, _, err := f.CreateTenant(ctx, hook.Tenant{Name: "acme"}, secrets.NewAPIKey())
			return err
		},
		"update replay": func() error {
			_, err := f.UpdateReplay(ctx, tenant, r.ID, func(r *hook.Replay) error {
				r.Rate = 9
				return nil
			})
			return err
		},
		"rotate signing key": func() error { _, err := f.RotateSigningKey(ctx, tenant, 0); return err },
		"reencrypt":          func() error { _, err := f.Reencrypt(ctx); return err },
		"create topic token": func() error {
			_, err := f.CreateTopicToken(ctx, hook.TopicToken{TenantID: tenant, Key: k.ID, Cache: "chat", Topics: []string{"one"}, Until: time.Now().Add(time.Minute)})
			return err
		},
		"create test": func() error {
			_, err := f.CreateTest(ctx, w, hook.Publication{TenantID: tenant, Type: "user.created", Data: []byte(`{}`)})
			return err
		},
		"retry": func() error {
			_, err := f.BeginRetry(ctx, hook.Delivery{ID: hook.DeliveryID{1}, TenantID: tenant})
			return err
		},
	}
	before := state()
	f.exec(t, `alter table audit_log rename to audit_log_gone`)
	for name, change := range changes {
		require.Error(t, change(), name)
		require.Equal(t, before, state(), name)
	}
	f.exec(t, `alter table audit_log_gone rename to audit_log`)
	require.Empty(t, f.log(t))
}

// K11: the entries of everything else, and that what changes nothing leaves none.
func TestAuditOfOtherChanges(t *testing.T) {
	t.Parallel()
	f, ctx := setup(t), acting(t)
	tenant := hook.DefaultTenant()
	one := func(what string, action hook.AuditAction, want map[string][2]string, change func() error) {
		t.Helper()
		seen := len(f.log(t))
		require.NoError(t, change(), what)
		list := f.log(t)
		if action == "" {
			require.Len(t, list, seen, what)
			return
		}
		require.Len(t, list, seen+1, what)
		require.Equal(t, action, list[0].Action, what)
		for member, values := range want {
			require.Equal(t, values, changed(list[0])[member], "%s: %s", what, member)
		}
	}
	var k hook.APIKey
	one("key", hook.AuditKeyCreated, map[string][2]string{"name": {"", `"one"`}, "scopes": {"", `["read"]`}}, func() (err error) {
		k, err = f.CreateKey(ctx, hook.APIKey{TenantID: tenant, Name: "one", Scopes: []hook.Scope{hook.ScopeRead}}, secrets.NewAPIKey())
		return err
	})
	one("revoke", hook.AuditKeyRevoked, nil, func() error { return f.RevokeKey(ctx, tenant, k.ID, hook.RankOperator) })
	require.NotEmpty(t, changed(f.log(t)[0])["revoked_at"][1])
	one("revoke again", "", nil, func() error { return f.RevokeKey(ctx, tenant, k.ID, hook.RankOperator) })

	put := func(description, schema string) func() error {
		return func() error {
			_, _, err := f.PutEventType(ctx, tenant, hook.NewEventType{Name: "invoice.paid", Description: &description, Schema: []byte(schema)})
			return err
		}
	}
	one("type", hook.AuditEventTypeCreated, map[string][2]string{"description": {"", `"old"`}}, put("old", `{"type":"object"}`))
	one("type again", "", nil, put("old", `{"type":"object"}`))
	one("type changed", hook.AuditEventTypeUpdated, map[string][2]string{
		"description": {`"old"`, `"new"`}, "schema": {`{"type":"object"}`, `{"type":"array"}`},
	}, put("new", `{"type":"array"}`))

	w := f.webhook(t)
	var r hook.Replay
	one("replay", hook.AuditReplayCreated, map[string][2]string{"rate": {"", "5"}, "status": {"", `"all"`}}, func() (err error) {
		r, err = f.CreateReplay(ctx, hook.Replay{TenantID: tenant, WebhookID: w.ID, Status: hook.ReplayAll, Since: time.Now().Add(-time.Hour), Until: time.Now(), Rate: 5})
		return err
	})
	change := func(change func(r *hook.Replay)) func() error {
		return func() error {
			_, err := f.UpdateReplay(ctx, tenant, r.ID, func(r *hook.Replay) error {
				change(r)
				return nil
			})
			return err
		}
	}
	one("rate", hook.AuditReplayUpdated, map[string][2]string{"rate": {"5", "9"}}, change(func(r *hook.Replay) { r.Rate = 9 }))
	one("pause", hook.AuditReplayPaused, map[string][2]string{"state": {`"running"`, `"paused"`}}, change(func(r *hook.Replay) { r.State = hook.ReplayPaused }))
	one("pause again", "", nil, change(func(r *hook.Replay) { r.State = hook.ReplayPaused }))
	one("resume", hook.AuditReplayResumed, nil, change(func(r *hook.Replay) { r.State = hook.ReplayRunning }))
	one("cancel", hook.AuditReplayCanceled, nil, change(func(r *hook.Replay) { r.State = hook.ReplayCanceled }))

	var d hook.Delivery
	one("test", hook.AuditWebhookTested, nil, func() (err error) {
		d, err = f.CreateTest(ctx, w, hook.Publication{TenantID: tenant, Type: "user.created", Data: []byte(`{}`)})
		return err
	})
	require.Equal(t, `"`+d.ID.String()+`"`, changed(f.log(t)[0])["delivery_id"][1])
	require.NoError(t, f.DropTest(t.Context(), d))
	require.NotContains(t, f.actions(t), hook.AuditWebhookTested, "a test that was not sent has left nothing")

	var retry hook.AuditID
	one("retry", hook.AuditDeliveryRetried, nil, func() (err error) {
		retry, err = f.BeginRetry(ctx, d)
		return err
	})
	require.NoError(t, f.DropRetry(t.Context(), retry))
	require.NotContains(t, f.actions(t), hook.AuditDeliveryRetried)
	one("signing key", hook.AuditSigningKeyRotated, map[string][2]string{"overlap_seconds": {"", "60"}}, func() error {
		_, err := f.RotateSigningKey(ctx, tenant, time.Minute)
		return err
	})
	one("secrets", hook.AuditSecretsReencrypted, nil, func() error { _, err := f.Reencrypt(ctx); return err })
	one("token", hook.AuditTopicTokenCreated, map[string][2]string{"topics": {"", `["one"]`}}, func() error {
		_, err := f.CreateTopicToken(ctx, hook.TopicToken{TenantID: tenant, Key: k.ID, Cache: "chat", Topics: []string{"one"}, Until: time.Now().Add(time.Minute)})
		return err
	})
	var acme hook.Tenant
	one("tenant", hook.AuditTenantCreated, map[string][2]string{"name": {"", `"acme"`}}, func() (err error) {
		acme, _, err = f.CreateTenant(ctx, hook.Tenant{Name: "acme"}, secrets.NewAPIKey())
		return err
	})
	list, _, err := f.AuditLog(t.Context(), hook.AuditFilter{Of: hook.OneTenant(acme.ID)}, hook.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, list, 1, "its first key is in its own log")
	require.Equal(t, hook.AuditKeyCreated, list[0].Action)
}

// K11: filters, pages, and the log of all tenants.
func TestAuditLogPages(t *testing.T) {
	t.Parallel()
	f := setup(t)
	tenant, other := hook.DefaultTenant(), hook.TenantID{15: 9}
	as := func(actor string) context.Context {
		return hook.WithActor(t.Context(), hook.Actor{Kind: hook.ActorKey, ID: actor, Name: actor})
	}
	var ids []hook.DeliveryID
	for i := range 6 {
		id := hook.DeliveryID{byte(i + 1)}
		ids = append(ids, id)
		_, err := f.BeginRetry(as([]string{"a", "b"}[i%2]), hook.Delivery{ID: id, TenantID: []hook.TenantID{tenant, tenant, other}[i%3]})
		require.NoError(t, err)
	}
	_, err := f.CreateTopicToken(as("a"), hook.TopicToken{TenantID: tenant, Cache: "chat", Topics: []string{"one"}})
	require.NoError(t, err)
	targets := func(filter hook.AuditFilter, p hook.Page) (list []string, next *[16]byte) {
		t.Helper()
		if p.Limit == 0 {
			p.Limit = 100
		}
		found, next, err := f.AuditLog(t.Context(), filter, p)
		require.NoError(t, err)
		for _, e := range found {
			list = append(list, e.Target.ID)
		}
		return list, next
	}
	text := func(places ...int) (list []string) {
		for _, i := range places {
			list = append(list, ids[i].String())
		}
		return list
	}
	all, _ := targets(hook.AuditFilter{Of: hook.TenantFilter{All: true}}, hook.Page{})
	require.Equal(t, append([]string{""}, text(5, 4, 3, 2, 1, 0)...), all)
	for name, c := range map[string]struct {
		filter hook.AuditFilter
		want   []string
	}{
		"actor":                      {hook.AuditFilter{Of: hook.OneTenant(tenant), Actor: "b"}, text(3, 1)},
		"target":                     {hook.AuditFilter{Of: hook.OneTenant(tenant), Target: ids[3].String()}, text(3)},
		"another tenant's":           {hook.AuditFilter{Of: hook.OneTenant(tenant), Target: ids[2].String()}, nil},
		"actor and target":           {hook.AuditFilter{Of: hook.OneTenant(tenant), Actor: "a", Target: ids[3].String()}, nil},
		"action":                     {hook.AuditFilter{Of: hook.OneTenant(tenant), Action: "topic_token.created"}, []string{""}},
		"actions":                    {hook.AuditFilter{Of: hook.OneTenant(tenant), Action: "delivery.*", Actor: "a"}, text(4, 0)},
		"actor, all tenants":         {hook.AuditFilter{Of: hook.TenantFilter{All: true}, Actor: "b"}, text(5, 3, 1)},
		"actor and target, the same": {hook.AuditFilter{Of: hook.TenantFilter{All: true}, Actor: "b", Target: ids[5].String()}, text(5)},
	} {
		list, next := targets(c.filter, hook.Page{})
		require.Equal(t, c.want, list, name)
		require.Nil(t, next, name)
	}
	first, next := targets(hook.AuditFilter{Of: hook.OneTenant(tenant)}, hook.Page{Limit: 2})
	require.Equal(t, append([]string{""}, text(4)...), first)
	second, next := targets(hook.AuditFilter{Of: hook.OneTenant(tenant)}, hook.Page{Limit: 2, Before: next})
	require.Equal(t, text(3, 1), second)
	third, next := targets(hook.AuditFilter{Of: hook.OneTenant(tenant)}, hook.Page{Limit: 2, Before: next})
	require.Equal(t, text(0), third)
	require.Nil(t, next)
	none, _ := targets(hook.AuditFilter{Of: hook.OneTenant(tenant)}, hook.Page{Until: time.Now().Add(-time.Hour)})
	require.Empty(t, none)
}

// K11: entries are kept for their own time, and then deleted.
func TestPurgeAuditLog(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.exec(t, `
		insert into audit_log (id, tenant_id, actor_kind, actor_id, actor_name, action, target_kind, target_id, changes)
		select (left(uuid_floor(now() - n * interval '1 hour')::text, 18) || '-8000-' || lpad(n::text, 12, '0'))::uuid, $1, 'cli', '', '', 'a.b', 'a', n::text, '[]'
		from generate_series(0, 6000) n`, hook.DefaultTenant())
	deleted, err := f.PurgeAuditLog(t.Context(), 30*time.Minute+400*24*time.Hour)
	require.NoError(t, err)
	require.EqualValues(t, 0, deleted, "6,000 hours are 250 days")
	deleted, err = f.PurgeAuditLog(t.Context(), 150*time.Minute)
	require.NoError(t, err)
	require.EqualValues(t, 5998, deleted)
	require.Equal(t, 3, scalar[int](t, f, `select count(*) from audit_log`))
}
