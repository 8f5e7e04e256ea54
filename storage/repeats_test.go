package storage_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
	"grapnel/storage"
)

// S8: Repeated finds an event that was accepted under a key, whatever has changed since, and accepts nothing.
func TestRepeated(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.webhook(t)
	first := must(f.Publish(t.Context(), publication("order-1", `{"a":1,"b":[{"x":1,"y":2}]}`)))
	foreign := publication("order-1", `{"a":1,"b":[{"x":1,"y":2}]}`)
	foreign.TenantID = f.tenant(t, "other")
	gone := must(f.Publish(t.Context(), publication("order-2", `1`)))
	f.exec(t, `delete from events where id = $1`, gone.Event.ID[:])
	must(f.Publish(t.Context(), publication("order-3", `1`)))
	f.exec(t, `update idempotency_keys set expires_at = now() where key = 'order-3'`)

	same, ordered := publication("order-1", `{"a":1,"b":[{"x":1,"y":2}]}`), publication("order-1", `{"b":[{"y":2,"x":1}],"a":1}`)
	other := publication("order-1", `{"a":2,"b":[{"x":1,"y":2}]}`)
	repeats, err := f.Repeated(t.Context(), []hook.Publication{
		publication("", `1`), same, ordered, other, foreign, publication("order-2", `1`), publication("order-3", `1`), publication("order-4", `1`),
	})
	require.NoError(t, err)
	for _, i := range []int{1, 2} {
		require.NoError(t, repeats[i].Err)
		require.Equal(t, hook.Accepted{Event: first.Event, Duplicate: true}, *repeats[i].Accepted)
	}
	requireKind(t, hook.KindConflict, repeats[3].Err)
	require.Nil(t, repeats[3].Accepted)
	for _, i := range []int{0, 4, 5, 6, 7} {
		require.Equal(t, hook.Repeat{}, repeats[i], "free: %d", i)
	}
	require.Equal(t, 3, scalar[int](t, f, `select count(*) from idempotency_keys`))
}

// S8: an object is the same in any order of its members. That also holds for the digest that an older process has
// stored or compares with.
func TestIdempotencyKeyOfTheSameObjectInAnotherOrder(t *testing.T) {
	t.Parallel()
	f := setup(t)
	p := publication("order-1", `{"a":1,"b":{"x":1,"y":[1,2]}}`)
	first := must(f.Publish(t.Context(), p))
	print := p.Fingerprint()
	require.Equal(t, print[:], scalar[[]byte](t, f, `select fingerprint from idempotency_keys`), "as older processes have it")
	again, err := f.Publish(t.Context(), publication("order-1", `{"b":{"y":[1,2],"x":1},"a":1}`))
	require.NoError(t, err)
	require.Equal(t, hook.Accepted{Event: first.Event, Duplicate: true}, again)
	for _, other := range []string{`{"b":{"y":[2,1],"x":1},"a":1}`, `{"b":1,"a":{"x":1,"y":[1,2]}}`} {
		_, err = f.Publish(t.Context(), publication("order-1", other))
		requireKind(t, hook.KindConflict, err)
	}
	// The same holds within a batch.
	_, errs := f.PublishAll(t.Context(), []hook.Publication{
		publication("order-2", `{"a":1,"b":2}`), publication("order-2", `{"b":2,"a":1}`), publication("order-2", `{"b":1,"a":2}`),
	})
	require.NoError(t, errs[0])
	require.NoError(t, errs[1])
	requireKind(t, hook.KindConflict, errs[2])
	require.Equal(t, 2, scalar[int](t, f, `select count(*) from events`))
}

// A message with a key is published once. The same text in another cache is another message.
func TestIdempotencyKeyOfAMessage(t *testing.T) {
	t.Parallel()
	f := setup(t)
	message := func(cache, key string) hook.Publication {
		return hook.Publication{TenantID: hook.DefaultTenant(), Cache: cache, Type: "room", Data: []byte(`"hello"`), IdempotencyKey: key}
	}
	first := must(f.Publish(t.Context(), message("chat", "m-1")))
	require.EqualValues(t, 1, first.Event.Sequence)
	again := must(f.Publish(t.Context(), message("chat", "m-1")))
	require.Equal(t, hook.Accepted{Event: first.Event, Duplicate: true}, again)
	_, err := f.Publish(t.Context(), message("other", "m-1"))
	requireKind(t, hook.KindConflict, err)
	next := must(f.Publish(t.Context(), message("chat", "m-2")))
	require.EqualValues(t, 2, next.Event.Sequence, "no number was lost")
}

// An event keeps the chain that it belongs to, and its jobs carry it.
func TestEventsKeepTheirChain(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	hops := []hook.EventID{{1}, {2}}
	p := publication("", `{}`)
	p.Hops = hops
	a := must(f.Publish(t.Context(), p))
	require.Equal(t, hops, a.Event.Hops)
	require.Equal(t, hops, must(f.Event(t.Context(), hook.DefaultTenant(), a.Event.ID)).Hops)
	jobs := must(f.Outstanding(t.Context(), []hook.EventID{a.Event.ID}, 0, 1))
	require.Len(t, jobs, 1)
	require.Equal(t, w.ID, jobs[0].Webhook.ID)
	require.Equal(t, hops, jobs[0].Event.Hops)

	plain := f.publish(t, "user.created")
	require.True(t, scalar[bool](t, f, `select hops is null from events where id = $1`, plain.Event.ID[:]))
	require.Empty(t, must(f.Event(t.Context(), hook.DefaultTenant(), plain.Event.ID)).Hops)
}

// The operational event about a failed delivery continues the chain of the delivery's event.
func TestOperationalEventsKeepTheChain(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w, ops := f.webhook(t), f.operational(t)
	p := publication("", `{}`)
	p.Hops = []hook.EventID{{1}}
	a := must(f.Publish(t.Context(), p))
	list := must(f.DeliveriesOfEvent(t.Context(), a.Event.ID, 10))
	require.Len(t, list, 1)
	require.Equal(t, w.ID, list[0].WebhookID)
	f.fail(t, list[0].ID)
	told, _, err := f.Deliveries(t.Context(), ops.ID, hook.DeliveryFilter{}, hook.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, told, 1)
	require.Equal(t, []hook.EventID{{1}, a.Event.ID}, must(f.Event(t.Context(), hook.DefaultTenant(), told[0].EventID)).Hops)
}

// webhookKey returns the key of a request that creates a webhook.
func webhookKey(key string, request byte) hook.RequestKey {
	return hook.RequestKey{TenantID: hook.DefaultTenant(), Operation: "create-webhook", Key: key, Request: [32]byte{request}}
}

// creation returns a webhook to create, and the function that makes the answer.
func creation() (hook.Webhook, func(hook.Webhook) ([]byte, error)) {
	w := hook.Webhook{TenantID: hook.DefaultTenant(), URL: "https://example.com", Events: []string{"*"}, Secret: "whsec_geheim", Active: true}
	w.Normalize()
	return w, func(w hook.Webhook) ([]byte, error) { return []byte(w.ID.String() + " " + w.Secret.Reveal()), nil }
}

// K8: the answer about a webhook of a suspended tenant says so, the first time and when it is repeated.
func TestCreateWebhookOnceForASuspendedTenant(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w, _ := creation()
	f.customer(t, "acme")
	acme, err := f.UpdateTenant(t.Context(), "acme", func(t *hook.Tenant) error {
		t.Status = hook.TenantSuspended
		return nil
	})
	require.NoError(t, err)
	w.TenantID = acme.ID
	key := webhookKey("k", 1)
	key.TenantID = acme.ID
	answer := func(w hook.Webhook) ([]byte, error) { return []byte(strconv.FormatBool(w.SuspendedAt != nil)), nil }
	for range 2 {
		require.Equal(t, "true", string(must(f.CreateWebhookOnce(t.Context(), w, key, answer))))
	}
	require.Equal(t, "true", string(must(f.KeptAnswer(t.Context(), key))))
}

// A request with a key creates one webhook and gets the same answer for a day. The stored answer is sealed.
func TestCreateWebhookOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w, answer := creation()
	_, err := f.KeptAnswer(t.Context(), webhookKey("k", 1))
	requireKind(t, hook.KindNotFound, err)
	first := must(f.CreateWebhookOnce(t.Context(), w, webhookKey("k", 1), answer))
	require.True(t, strings.HasSuffix(string(first), " whsec_geheim"))
	require.Equal(t, first, must(f.CreateWebhookOnce(t.Context(), w, webhookKey("k", 1), answer)))
	require.Equal(t, first, must(f.KeptAnswer(t.Context(), webhookKey("k", 1))))
	require.Equal(t, 1, scalar[int](t, f, `select count(*) from webhooks`))

	_, err = f.CreateWebhookOnce(t.Context(), w, webhookKey("k", 2), answer)
	requireKind(t, hook.KindConflict, err)
	_, err = f.KeptAnswer(t.Context(), webhookKey("k", 2))
	requireKind(t, hook.KindConflict, err)
	sealed := scalar[[]byte](t, f, `select answer from kept_answers`)
	require.NotContains(t, string(sealed), "geheim")
	require.NotContains(t, string(sealed), string([]byte{1, 0, 0, 0}), "nor its digest, by which one could guess a secret")

	for _, change := range []func(*hook.RequestKey){
		func(o *hook.RequestKey) { o.Key = "K" },
		func(o *hook.RequestKey) { o.Operation = "create-commenda-webhook" },
		func(o *hook.RequestKey) { o.TenantID = f.tenant(t, "other") },
	} {
		other := webhookKey("k", 1)
		change(&other)
		w.TenantID = other.TenantID
		require.NotEqual(t, first, must(f.CreateWebhookOnce(t.Context(), w, other, answer)))
	}
	require.Equal(t, 4, scalar[int](t, f, `select count(*) from webhooks`))

	// The key is free after 24 hours.
	f.exec(t, `update kept_answers set expires_at = now() where key = 'k' and operation = 'create-webhook' and tenant_id = $1`, hook.DefaultTenant())
	w.TenantID = hook.DefaultTenant()
	require.NotEqual(t, first, must(f.CreateWebhookOnce(t.Context(), w, webhookKey("k", 2), answer)))
	left := scalar[float64](t, f, `select min(extract(epoch from expires_at - now()))::float8 from kept_answers`)
	require.InDelta(t, (24 * time.Hour).Seconds(), left, 60)
	f.exec(t, `update kept_answers set expires_at = now() where key = 'K'`)
	require.EqualValues(t, 1, must(f.PurgeIdempotencyKeys(t.Context())))
	require.Equal(t, 3, scalar[int](t, f, `select count(*) from kept_answers`))
}

// Concurrent requests with one key create one webhook. A request that fails leaves its key free.
func TestCreateWebhookOnceAtOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w, answer := creation()
	answers := make([]string, 10)
	var g errgroup.Group
	for i := range answers {
		g.Go(func() error {
			got, err := f.CreateWebhookOnce(t.Context(), w, webhookKey("k", 1), answer)
			answers[i] = string(got)
			return err
		})
	}
	require.NoError(t, g.Wait())
	for _, a := range answers {
		require.Equal(t, answers[0], a)
	}
	require.Equal(t, 1, scalar[int](t, f, `select count(*) from webhooks`))

	f.exec(t, `alter table subscriptions add constraint broken check (false) not valid`)
	_, err := f.CreateWebhookOnce(t.Context(), w, webhookKey("k2", 1), answer)
	requireKind(t, hook.KindInternal, err)
	f.exec(t, `alter table subscriptions drop constraint broken`)
	require.NotEqual(t, answers[0], string(must(f.CreateWebhookOnce(t.Context(), w, webhookKey("k2", 1), answer))))
}

// Reencrypt seals stored answers anew, too, and names one that no key opens.
func TestReencryptAnswers(t *testing.T) {
	t.Parallel()
	before, during := reencrypting(t)
	w, answer := creation()
	var want []string
	for _, key := range []string{"a", "b", "c"} {
		want = append(want, string(must(before.CreateWebhookOnce(t.Context(), w, webhookKey(key, 1), answer))))
	}
	r := must(during.Reencrypt(t.Context()))
	require.Equal(t, storage.Reencryption{Webhooks: 3, Changed: 3, ChangedAnswers: 3}, r)
	after := open(t, before.url, otherKey)
	for i, key := range []string{"a", "b", "c"} {
		require.Equal(t, want[i], string(must(after.KeptAnswer(t.Context(), webhookKey(key, 1)))))
	}
	require.Zero(t, must(during.Reencrypt(t.Context())).ChangedAnswers)

	strange := open(t, before.url, "//////////////////////////////////////////8=")
	must(strange.CreateWebhookOnce(t.Context(), w, webhookKey("d", 1), answer))
	before.exec(t, `delete from webhooks where id not in (select id from webhooks order by id limit 3)`)
	r = must(during.Reencrypt(t.Context()))
	require.Len(t, r.Unreadable, 1)
	require.Equal(t, hook.DefaultTenant(), r.Unreadable[0].TenantID)
	require.ErrorContains(t, r.Unreadable[0].Err, "answer under an idempotency key")
	_, err := after.KeptAnswer(t.Context(), webhookKey("d", 1))
	requireKind(t, hook.KindInternal, err)
}

// The number of a tenant's valid keys is limited, also if many are created at once.
func TestCreateKeyWithin(t *testing.T) {
	t.Parallel()
	f := setup(t)
	tenant := f.tenant(t, "acme")
	create := func(n int) error {
		_, err := f.CreateKeyWithin(t.Context(), hook.APIKey{TenantID: tenant, Name: "k", Scopes: []hook.Scope{hook.ScopeRead}}, hook.Secret("key-"+string(rune('a'+n))), 5)
		return err
	}
	errs := make([]error, 12)
	var g errgroup.Group
	for i := range errs {
		g.Go(func() error {
			errs[i] = create(i)
			return nil
		})
	}
	require.NoError(t, g.Wait())
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
			continue
		}
		requireKind(t, hook.KindLimit, err)
	}
	require.Equal(t, 5, made)
	f.exec(t, `update api_keys set revoked_at = now() where id = (select id from api_keys where tenant_id = $1 limit 1)`, tenant[:])
	require.NoError(t, create(20), "a revoked key does not count")
	f.exec(t, `update api_keys set expires_at = now() where id = (select id from api_keys where tenant_id = $1 and revoked_at is null limit 1)`, tenant[:])
	require.NoError(t, create(21), "nor one that has expired")
	requireKind(t, hook.KindLimit, create(22))
}
