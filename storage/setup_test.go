package storage_test

import (
	"bytes"
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/pgtest"
	"grapnel/internal/secrets"
	"grapnel/storage"
	"grapnel/storage/pgtemplate"
	"grapnel/storage/storagetest"
)

// Keys of 32 bytes in the configuration's format.
const (
	encryptionKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	otherKey      = "Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA="
)

// fixture is a Store and its database, which belongs to one test.
type fixture struct {
	*storage.Store
	url string
	db  *pgxpool.Pool
	// pasts numbers the events of the past.
	pasts int
	// made counts the rows that deliveries has inserted.
	made int
}

func setup(t testing.TB) *fixture {
	t.Helper()
	url := pgtest.New(t, pgtemplate.Template())
	db, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(db.Close)
	return &fixture{Store: open(t, url, encryptionKey), url: url, db: db}
}

func open(t testing.TB, url, keys string) *storage.Store {
	t.Helper()
	return openWith(t, keys, storage.Config{URL: url})
}

// openLimited opens a store with limits for each tenant.
func openLimited(t testing.TB, url string, limits storage.Limits) *storage.Store {
	t.Helper()
	return openWith(t, encryptionKey, storage.Config{URL: url, Limits: limits})
}

// openWith opens a store whose secrets the keys seal. The end of the test closes it.
func openWith(t testing.TB, keys string, c storage.Config) *storage.Store {
	t.Helper()
	var err error
	c.Box, err = secrets.New(keys)
	require.NoError(t, err)
	store, err := storage.Open(t.Context(), c)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	return store
}

// exec changes the database without the Store.
func (f *fixture) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := f.db.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// scalar reads one value from the database.
func scalar[T any](t *testing.T, f *fixture, sql string, args ...any) T {
	t.Helper()
	var v T
	require.NoError(t, f.db.QueryRow(t.Context(), sql, args...).Scan(&v))
	return v
}

// webhook creates a webhook of the default tenant that gets user.created. The functions change it before it is
// stored.
func (f *fixture) webhook(t testing.TB, change ...func(*hook.Webhook)) hook.Webhook {
	t.Helper()
	w := hook.Webhook{
		TenantID: hook.DefaultTenant(), URL: "https://example.com/hooks", Events: []string{"user.created"},
		Secret: "whsec_abc123", Active: true,
	}
	for _, c := range change {
		c(&w)
	}
	w.Normalize()
	w, err := f.CreateWebhook(t.Context(), w)
	require.NoError(t, err)
	return w
}

func events(patterns ...string) func(*hook.Webhook) {
	return func(w *hook.Webhook) { w.Events = patterns }
}

func ofTenant(id hook.TenantID) func(*hook.Webhook) {
	return func(w *hook.Webhook) { w.TenantID = id }
}

func inactive(w *hook.Webhook) { w.Active, w.DisabledReason = false, hook.ReasonByClient }

// tenant creates a tenant.
func (f *fixture) tenant(t *testing.T, name string) hook.TenantID {
	t.Helper()
	return scalar[[16]byte](t, f, `insert into tenants (id, name) values (gen_random_uuid(), $1) returning id`, name)
}

// eventData is the data of publish's events.
func eventData() []byte { return []byte(`{"id":"user_123"}`) }

// publish accepts an event of the default tenant.
func (f *fixture) publish(t *testing.T, eventType string) hook.Accepted {
	t.Helper()
	a, err := f.Publish(t.Context(), hook.Publication{
		TenantID: hook.DefaultTenant(), Type: eventType, Data: eventData(),
	})
	require.NoError(t, err)
	return a
}

// delivery publishes user.created and returns its delivery to the webhook.
func (f *fixture) delivery(t *testing.T, w hook.Webhook) hook.DeliveryID {
	t.Helper()
	list, err := f.DeliveriesOfEvent(t.Context(), f.publish(t, "user.created").Event.ID, 1000)
	require.NoError(t, err)
	for _, d := range list {
		if d.WebhookID == w.ID {
			return d.ID
		}
	}
	require.Fail(t, "the webhook got no delivery")
	return hook.DeliveryID{}
}

// read returns the delivery in its current state.
func (f *fixture) read(t *testing.T, id hook.DeliveryID) hook.Delivery {
	t.Helper()
	d, err := f.Delivery(t.Context(), hook.DefaultTenant(), id)
	require.NoError(t, err)
	return d
}

// health returns the webhook of the default tenant in its current state.
func (f *fixture) health(t *testing.T, w hook.Webhook) hook.Webhook {
	t.Helper()
	w, err := f.Webhook(t.Context(), hook.DefaultTenant(), w.ID)
	require.NoError(t, err)
	return w
}

// status returns the webhook's status, and reason its reason, as S3 shows them.
func (f *fixture) status(t *testing.T, w hook.Webhook) string {
	t.Helper()
	w = f.health(t, w)
	return w.Status()
}

func (f *fixture) reason(t *testing.T, w hook.Webhook) string {
	t.Helper()
	w = f.health(t, w)
	return w.StatusReason()
}

func outstanding(d hook.Delivery) bool { return d.Outstanding() }

// attempt loads the delivery and records an attempt by spec 1's schedule.
func (f *fixture) attempt(t *testing.T, id hook.DeliveryID, a hook.Attempt) hook.Delivery {
	t.Helper()
	job, err := f.Job(t.Context(), id)
	require.NoError(t, err)
	return f.record(t, storagetest.RecordOf(&job, a))
}

func (f *fixture) record(t *testing.T, r hook.Record) hook.Delivery {
	t.Helper()
	list, err := f.recorded(t.Context(), []hook.Record{r})
	require.NoError(t, err)
	require.Len(t, list, 1)
	return list[0]
}

// recorded records attempts and returns their deliveries.
func (f *fixture) recorded(ctx context.Context, records []hook.Record) ([]hook.Delivery, error) {
	all, err := f.Record(ctx, records)
	return all.Deliveries, err
}

// answered returns an attempt that was answered with the status.
func answered(status int) hook.Attempt {
	class, text := hook.StatusFailure(status)
	return hook.Attempt{
		URL: "https://example.com/hooks", StartedAt: time.Now().Add(-time.Millisecond), Duration: time.Millisecond,
		RequestHeaders: http.Header{"Content-Type": {"application/json"}}, ResponseHeaders: http.Header{},
		StatusCode: status, Class: class, Error: text,
	}
}

// broken returns an attempt without an answer.
func broken(class hook.ErrorClass, text string) hook.Attempt {
	a := answered(0)
	a.ResponseHeaders, a.Class, a.Error = nil, class, text
	return a
}

func timedOut() hook.Attempt { return broken(hook.ClassTimeout, "Connection timeout") }

func byHand(a hook.Attempt) hook.Attempt {
	a.Manual = true
	return a
}

// pages reads a list page by page and returns all its items.
func pages[T any](t *testing.T, limit int, list func(hook.Page) ([]T, bool, error), id func(T) [16]byte) []T {
	t.Helper()
	var all []T
	p := hook.Page{Limit: limit}
	for {
		page, more, err := list(p)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), limit)
		all = append(all, page...)
		if !more {
			return all
		}
		require.Len(t, page, limit, "a page before the last is full")
		before := id(page[len(page)-1])
		p.Before = &before
	}
}

// follow reads a list by the cursors of its pages and returns all its items.
func follow[T any](t *testing.T, limit int, list func(hook.Page) ([]T, *[16]byte, error)) (all []T, read int) {
	t.Helper()
	p := hook.Page{Limit: limit}
	for {
		page, next, err := list(p)
		read++
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), limit)
		all = append(all, page...)
		if next == nil {
			return all, read
		}
		if p.Before != nil {
			require.Negative(t, bytes.Compare(next[:], p.Before[:]), "it leads on")
		}
		p.Before = next
	}
}

// every returns the items that follow finds.
func every[T any](t *testing.T, limit int, list func(hook.Page) ([]T, *[16]byte, error)) []T {
	t.Helper()
	all, _ := follow(t, limit, list)
	return all
}

// requireKind checks the kind of the error.
func requireKind(t *testing.T, kind hook.Kind, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, kind, hook.KindOf(err), "%v", err)
}
