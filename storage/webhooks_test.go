package storage_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
)

func webhookID(w hook.Webhook) [16]byte { return w.ID }

// S1, S3: a webhook is read as it was created, with every field.
func TestWebhookIsReadAsItWasCreated(t *testing.T) {
	t.Parallel()
	f := setup(t)
	created := f.webhook(t, func(w *hook.Webhook) {
		w.Profile = hook.ProfileCommenda
		w.URL = "https://example.com/é?a=b&c"
		w.Events = []string{"z.last", "a.first", "REGISTRATIONS.EXISTING"}
		w.Headers = map[string]hook.Secret{"Authorization": "Bearer geheim", "X-Empty": ""}
		w.Description = "Rechnungen – 請求書"
		w.Timeout = 1500 * time.Millisecond
		w.RateLimit = 25
		w.MaxAttempts = 3
	})
	require.Equal(t, hook.HealthHealthy, created.Health)
	require.WithinDuration(t, time.Now(), created.CreatedAt, time.Minute)
	require.Equal(t, created.CreatedAt, created.UpdatedAt)

	read, err := f.Webhook(t.Context(), hook.DefaultTenant(), created.ID)
	require.NoError(t, err)
	require.Equal(t, created, read)

	listed, more, err := f.Webhooks(t.Context(), hook.DefaultTenant(), hook.WebhookFilter{}, hook.Page{Limit: 10})
	require.NoError(t, err)
	require.False(t, more)
	require.Equal(t, []hook.Webhook{created}, listed)
}

// S2: webhooks are listed newest first, and the pages of any size together are the whole list.
func TestWebhookPagesAreTheWholeList(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var want []hook.Webhook
	for range 7 {
		want = append(want, f.webhook(t))
	}
	slices.Reverse(want)
	for _, limit := range []int{1, 2, 3, 6, 7, 8, 100} {
		got := pages(t, limit, func(p hook.Page) ([]hook.Webhook, bool, error) {
			return f.Webhooks(t.Context(), hook.DefaultTenant(), hook.WebhookFilter{}, p)
		}, webhookID)
		require.Equal(t, want, got, "limit %d", limit)
	}
}

// S2: a webhook that is created while a client pages does not shift later pages.
func TestWebhookPagesHoldStillWhileOthersAreCreated(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var want []hook.Webhook
	for range 5 {
		want = append(want, f.webhook(t))
	}
	slices.Reverse(want)
	got := pages(t, 2, func(p hook.Page) ([]hook.Webhook, bool, error) {
		list, more, err := f.Webhooks(t.Context(), hook.DefaultTenant(), hook.WebhookFilter{}, p)
		f.webhook(t)
		return list, more, err
	}, webhookID)
	require.Equal(t, want, got)
}

// S2: the filters active, event and profile work alone and together.
func TestWebhookFilters(t *testing.T) {
	t.Parallel()
	f := setup(t)
	names := map[hook.WebhookID]string{}
	for name, change := range map[string][]func(*hook.Webhook){
		"exact":    {events("payment.failed", "user.created")},
		"prefix":   {events("user.*")},
		"all":      {events("*")},
		"other":    {events("payment.failed")},
		"off":      {events("user.created"), inactive},
		"commenda": {events("user.created"), func(w *hook.Webhook) { w.Profile = hook.ProfileCommenda }},
	} {
		names[f.webhook(t, change...).ID] = name
	}
	yes, no := true, false
	for name, test := range map[string]struct {
		filter hook.WebhookFilter
		want   []string
	}{
		"none":                      {hook.WebhookFilter{}, []string{"all", "commenda", "exact", "off", "other", "prefix"}},
		"active":                    {hook.WebhookFilter{Active: &yes}, []string{"all", "commenda", "exact", "other", "prefix"}},
		"inactive":                  {hook.WebhookFilter{Active: &no}, []string{"off"}},
		"event, by any pattern":     {hook.WebhookFilter{Event: "user.created"}, []string{"all", "commenda", "exact", "off", "prefix"}},
		"event nobody names":        {hook.WebhookFilter{Event: "file.uploaded"}, []string{"all"}},
		"prefix is not a substring": {hook.WebhookFilter{Event: "users.created"}, []string{"all"}},
		"profile":                   {hook.WebhookFilter{Profile: hook.ProfileCommenda}, []string{"commenda"}},
		"profile without any":       {hook.WebhookFilter{Profile: hook.ProfileMomento}, nil},
		"all three": {
			hook.WebhookFilter{Active: &yes, Event: "user.created", Profile: hook.ProfileStandard},
			[]string{"all", "exact", "prefix"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list, _, err := f.Webhooks(t.Context(), hook.DefaultTenant(), test.filter, hook.Page{Limit: 100})
			require.NoError(t, err)
			var got []string
			for _, w := range list {
				got = append(got, names[w.ID])
			}
			slices.Sort(got)
			require.Equal(t, test.want, got)
		})
	}
}

// Spec 7: secrets and the values of headers are encrypted at rest.
func TestWebhookSecretsAreSealedInTheTable(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const secret, header = "whsec_plainly-visible", "Bearer plainly-visible"
	w := f.webhook(t, func(w *hook.Webhook) {
		w.Secret, w.Headers = secret, map[string]hook.Secret{"Authorization": header}
	})
	raw := scalar[[]byte](t, f, `select secret || headers from webhooks`)
	require.NotContains(t, string(raw), "plainly-visible")
	require.NotContains(t, string(raw), "Authorization")
	row := scalar[string](t, f, `select row_to_json(w)::text from webhooks w`)
	require.NotContains(t, row, "plainly-visible")
	require.NotContains(t, row, fmt.Sprintf("%x", "plainly-visible"), "bytea is shown in hex")

	t.Run("and bound to their webhook", func(t *testing.T) {
		t.Parallel()
		victim := f.webhook(t)
		f.exec(t, `update webhooks set secret = (select secret from webhooks where id = $1) where id = $2`, w.ID[:], victim.ID[:])
		_, err := f.Webhook(t.Context(), hook.DefaultTenant(), victim.ID)
		requireKind(t, hook.KindInternal, err)
	})
	t.Run("and can't be read with another key", func(t *testing.T) {
		t.Parallel()
		_, err := open(t, f.url, otherKey).Webhook(t.Context(), hook.DefaultTenant(), w.ID)
		requireKind(t, hook.KindInternal, err)
		require.NotContains(t, err.Error(), "plainly-visible")
	})
	t.Run("and are read with the old key after a rotation", func(t *testing.T) {
		t.Parallel()
		read, err := open(t, f.url, otherKey+","+encryptionKey).Webhook(t.Context(), hook.DefaultTenant(), w.ID)
		require.NoError(t, err)
		require.Equal(t, w, read)
	})
}

// S4: two concurrent changes don't undo each other.
func TestUpdateWebhookLosesNoConcurrentChange(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	const changes = 50
	var g errgroup.Group
	for i := range changes {
		g.Go(func() error {
			_, err := f.UpdateWebhook(t.Context(), hook.DefaultTenant(), w.ID, func(w *hook.Webhook) error {
				switch i % 5 {
				case 0:
					w.Description += "x"
				case 1:
					w.RateLimit++
				case 2:
					if w.Headers == nil {
						w.Headers = map[string]hook.Secret{}
					}
					w.Headers[fmt.Sprintf("X-%d", i)] = "v"
				case 3:
					w.Events = append(w.Events, fmt.Sprintf("type.%d", i))
				default:
					w.Timeout -= time.Second
				}
				return nil
			})
			return err
		})
	}
	require.NoError(t, g.Wait())

	got := f.health(t, w)
	require.Len(t, got.Description, changes/5)
	require.Equal(t, changes/5, got.RateLimit)
	require.Len(t, got.Headers, changes/5)
	require.Len(t, got.Events, 1+changes/5)
	require.Equal(t, w.Timeout-changes/5*time.Second, got.Timeout)
	require.Equal(t, 1+changes/5, scalar[int](t, f, `select count(*) from subscriptions where webhook_id = $1`, w.ID[:]))
	require.True(t, got.UpdatedAt.After(w.UpdatedAt))
	require.Equal(t, w.CreatedAt, got.CreatedAt)
}

// Spec 6: a change that fails stores nothing.
func TestUpdateWebhookStoresNothingWhenTheChangeFails(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	refusal := errors.New("refused")
	_, err := f.UpdateWebhook(t.Context(), hook.DefaultTenant(), w.ID, func(w *hook.Webhook) error {
		w.URL, w.Events = "https://elsewhere.example", []string{"*"}
		return refusal
	})
	require.ErrorIs(t, err, refusal)

	_, err = f.UpdateWebhook(t.Context(), hook.DefaultTenant(), w.ID, func(w *hook.Webhook) error {
		w.Events, w.MaxAttempts = []string{"*"}, 6
		return nil
	})
	requireKind(t, hook.KindInternal, err)

	require.Equal(t, w, f.health(t, w))
	require.Zero(t, f.publish(t, "file.uploaded").Event.Deliveries)
}

// S4: after a change, new event types match and removed ones don't.
func TestUpdateWebhookMovesItsSubscriptions(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	updated, err := f.UpdateWebhook(t.Context(), hook.DefaultTenant(), w.ID, func(w *hook.Webhook) error {
		w.Events = []string{"payment.*"}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, updated, f.health(t, w))
	require.Zero(t, f.publish(t, "user.created").Event.Deliveries)
	require.Equal(t, 1, f.publish(t, "payment.failed").Event.Deliveries)
}

// S5, S15: deleting or deactivating a webhook cancels its pending deliveries, visibly, and no others.
func TestWhatEndsAWebhookCancelsWhatIsPending(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		end  func(t *testing.T, f *fixture, w hook.Webhook) error
	}{
		"deleted": {"Webhook deleted", func(t *testing.T, f *fixture, w hook.Webhook) error {
			t.Helper()
			return f.DeleteWebhook(t.Context(), hook.DefaultTenant(), w.ID)
		}},
		"deactivated": {"Webhook disabled", func(t *testing.T, f *fixture, w hook.Webhook) error {
			t.Helper()
			_, err := f.UpdateWebhook(t.Context(), hook.DefaultTenant(), w.ID, func(w *hook.Webhook) error {
				inactive(w)
				return nil
			})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			w, other := f.webhook(t), f.webhook(t)
			pending, retrying, done := f.delivery(t, w), f.delivery(t, w), f.delivery(t, w)
			f.attempt(t, retrying, answered(500))
			f.attempt(t, done, answered(200))
			succeeded := f.read(t, done)
			others := f.delivery(t, other)
			test1, err := f.CreateTest(t.Context(), w, hook.Publication{Type: "user.created", Data: []byte(`{}`)})
			require.NoError(t, err)

			require.NoError(t, test.end(t, f, w))

			for _, id := range []hook.DeliveryID{pending, retrying} {
				d := f.read(t, id)
				require.Equal(t, hook.StateCanceled, d.State)
				require.Equal(t, test.text, d.Error)
				require.False(t, d.Outstanding())
			}
			require.Equal(t, 500, f.read(t, retrying).StatusCode, "what was received stays on record")
			require.Equal(t, succeeded, f.read(t, done))
			require.Equal(t, hook.StatePending, f.read(t, others).State)
			require.Equal(t, hook.StatePending, f.read(t, test1.ID).State, "a test in flight ends by itself")

			a := f.publish(t, "user.created")
			require.Equal(t, 1, a.Event.Deliveries, "only the other webhook's")
		})
	}
}

// S5: only the log of a deleted webhook is left.
func TestDeleteWebhookRemovesItsSecretAndSubscriptions(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t, events("user.created", "user.*", "*"))
	require.NoError(t, f.DeleteWebhook(t.Context(), hook.DefaultTenant(), w.ID))
	require.Zero(t, scalar[int](t, f, `select count(*) from webhooks`))
	require.Zero(t, scalar[int](t, f, `select count(*) from subscriptions`))
	_, err := f.Webhook(t.Context(), hook.DefaultTenant(), w.ID)
	requireKind(t, hook.KindNotFound, err)
	requireKind(t, hook.KindNotFound, f.DeleteWebhook(t.Context(), hook.DefaultTenant(), w.ID))
	_, err = f.UpdateWebhook(t.Context(), hook.DefaultTenant(), w.ID, func(*hook.Webhook) error { return nil })
	requireKind(t, hook.KindNotFound, err)
}

// The schema refuses a row that breaks an invariant, whichever program writes it.
func TestWebhookInvariantsAreInTheSchema(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.webhook(t)
	for name, set := range map[string]string{
		"disabled without a reason": `active = false`,
		"active with a reason":      `disabled_reason = 'gone'`,
		"unknown profile":           `profile = 'stripe'`,
		"unknown health":            `health = 'disabled'`,
		"no events":                 `events = '{}'`,
		"timeout over 30 s":         `timeout_ms = 30001`,
		"timeout under 1 s":         `timeout_ms = 999`,
		"six attempts":              `max_attempts = 6`,
		"no attempts":               `max_attempts = 0`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := f.db.Exec(t.Context(), `update webhooks set `+set)
			require.ErrorContains(t, err, "SQLSTATE 23514")
		})
	}
}
