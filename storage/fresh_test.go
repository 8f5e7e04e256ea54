package storage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// V1: the jobs of the first attempts, made of what the accept returns and of webhooks that were loaded before, are those
// that would be loaded.
func TestFreshJobsAreLikeLoadedOnes(t *testing.T) {
	t.Parallel()
	process := hook.NewProcessID()
	f := setupOwned(t, process)
	f.webhook(t, events("*"))
	f.webhook(t, events("user.created"), func(w *hook.Webhook) { w.Headers = map[string]hook.Secret{"X-A": "b"} })
	f.topicWebhook(t, room(), "bot")
	failing := f.webhook(t, events("user.created"))
	f.exec(t, `update webhooks set health = 'failing' where id = $1`, failing.ID[:])
	paused := f.webhook(t, events("user.created"))
	f.exec(t, `update webhooks set paused_at = now() where id = $1`, paused.ID[:])

	keyed := publication("order-1", `{"a":1}`)
	keyed.OrganizationID, keyed.Hops = "org", []hook.EventID{{7}}
	message := hook.Publication{TenantID: hook.DefaultTenant(), Cache: room().Cache, Type: room().Name, Data: []byte(`"7"`), TokenID: "token"}
	list := []hook.Publication{keyed, publication("", `{"b":2}`), message}
	accepted, errs := f.PublishAll(t.Context(), list)
	for i := range accepted {
		require.NoError(t, errs[i])
		start, ok := accepted[i].Start()
		require.True(t, ok)
		require.NotNil(t, start.Fresh)
		loaded, err := f.Outstanding(t.Context(), []hook.EventID{start.EventID}, 0, 1)
		require.NoError(t, err)
		webhooks := map[hook.WebhookID]*hook.Webhook{}
		byID := map[hook.DeliveryID]hook.Job{}
		for _, job := range loaded {
			webhooks[job.Webhook.ID], byID[job.Delivery.ID] = job.Webhook, job
		}
		jobs := start.Fresh.Jobs(func(id hook.WebhookID, version int64) *hook.Webhook {
			require.Equal(t, webhooks[id].Version, version)
			return webhooks[id]
		})
		require.Len(t, jobs, len(loaded))
		for _, job := range jobs {
			want := byID[job.Delivery.ID]
			require.False(t, job.ReadAt.After(time.Now()))
			require.WithinDuration(t, *want.Delivery.NextAttemptAt, *job.Delivery.NextAttemptAt, 5*time.Second)
			want.ReadAt, want.DueIn, want.Delivery.NextAttemptAt = job.ReadAt, 0, job.Delivery.NextAttemptAt
			want.Delivery.UpdatedAt = job.Delivery.UpdatedAt
			want.Event.WorkflowID = job.Event.WorkflowID
			require.Equal(t, want, job)
		}
		require.Nil(t, start.Fresh.Jobs(func(id hook.WebhookID, _ int64) *hook.Webhook {
			if id == jobs[0].Webhook.ID {
				return nil // changed since, or unknown
			}
			return webhooks[id]
		}))
	}
}

// An event that is large, that has more deliveries than are returned, or that this process does not own, is loaded.
func TestNotFresh(t *testing.T) {
	t.Parallel()
	f := setupOwned(t, hook.NewProcessID())
	for range hook.MaxTargets {
		f.webhook(t, events("many", "more"))
	}
	start := func(p hook.Publication) hook.Start {
		a, err := f.Publish(t.Context(), p)
		require.NoError(t, err)
		s, ok := a.Start()
		require.True(t, ok)
		require.False(t, s.Owner.IsZero())
		return s
	}
	p := publication("", `1`)
	p.Type = "many"
	require.Len(t, start(p).Fresh.Deliveries, hook.MaxTargets)
	f.webhook(t, events("more"))
	p.Type = "more"
	require.Nil(t, start(p).Fresh)
	p.Type, p.Data = "many", append(append([]byte(`"`), make([]byte, hook.MaxInline)...), '"')
	for i := 1; i < len(p.Data)-1; i++ {
		p.Data[i] = 'x'
	}
	require.Nil(t, start(p).Fresh)
}
