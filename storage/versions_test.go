package storage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// A change that affects requests makes a new version of the webhook; other changes don't, and neither do the
// store's own findings. The change is answered when no process uses the previous version any more.
func TestVersions(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	w := f.webhook(t, withHeaders)
	f.inOverlap(t, f.webhook(t))
	version := w.Version
	for name, c := range map[string]struct {
		change func(*hook.Webhook)
		bumps  bool
	}{
		"url":          {func(w *hook.Webhook) { w.URL = "https://example.com/other" }, true},
		"secret":       {func(w *hook.Webhook) { w.Replace("whsec_other") }, true},
		"rotation":     {func(w *hook.Webhook) { _ = w.Rotate("whsec_third", time.Now(), time.Now().Add(time.Hour)) }, true},
		"headers":      {func(w *hook.Webhook) { w.Headers["X-Team"] = "another" }, true},
		"time-out":     {func(w *hook.Webhook) { w.Timeout = 7 * time.Second }, true},
		"rate":         {func(w *hook.Webhook) { w.RateLimit = 7 }, true},
		"attempts":     {func(w *hook.Webhook) { w.MaxAttempts = 2 }, true},
		"pause":        {func(w *hook.Webhook) { w.Pause(true, time.Now().UTC().Truncate(time.Microsecond)) }, true},
		"description":  {func(w *hook.Webhook) { w.Description = "another" }, false},
		"event types":  {func(w *hook.Webhook) { w.Events = []string{"user.created", "user.deleted"} }, false},
		"health":       {func(w *hook.Webhook) { w.Health = hook.HealthFailing }, false},
		"nothing":      {func(*hook.Webhook) {}, false},
		"deactivation": {inactive, true},
	} {
		begin := time.Now()
		changed := f.change(t, w, c.change)
		require.Equal(t, c.bumps, changed.Version > version, name)
		if c.bumps {
			require.GreaterOrEqual(t, time.Since(begin), hook.TrustFor, name)
		}
		require.Equal(t, changed, f.health(t, w), name)
		version = changed.Version
		if name == "deactivation" {
			version = f.enable(t, w).Version
		}
	}
	require.NoError(t, f.SetBreaker(t.Context(), w.ID, true))
	versions, err := f.Versions(t.Context(), []hook.WebhookID{w.ID, {1}})
	require.NoError(t, err)
	require.Equal(t, map[hook.WebhookID]int64{w.ID: version}, versions)
	begin := time.Now()
	require.NoError(t, f.DeleteWebhook(t.Context(), w.TenantID, w.ID))
	require.GreaterOrEqual(t, time.Since(begin), hook.TrustFor)
}

// Other changes that affect a webhook's requests make new versions, too.
func TestVersionsOfWhatBelongsToAWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w, plain := f.webhook(t, asymmetric), f.webhook(t)
	begin := time.Now()
	_, err := f.RotateSigningKey(t.Context(), w.TenantID, 0)
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(begin), hook.TrustFor)
	require.Greater(t, f.health(t, w).Version, w.Version)
	require.Equal(t, plain.Version, f.health(t, plain).Version)

	r, err := f.CreateReplay(t.Context(), hook.Replay{
		TenantID: w.TenantID, WebhookID: plain.ID, Status: hook.ReplayAll, Since: time.Now().Add(-time.Hour), Until: time.Now(), Rate: 100,
	})
	require.NoError(t, err)
	begin = time.Now()
	_, err = f.UpdateReplay(t.Context(), w.TenantID, r.ID, func(r *hook.Replay) error { r.State = hook.ReplayCanceled; return nil })
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(begin), hook.TrustFor)
	require.Greater(t, f.health(t, plain).Version, plain.Version)
}

// A claim checks the version: it claims no delivery of a webhook that has changed since it was loaded.
func TestClaimsAreOfTheWebhookAsLoaded(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, f *fixture, w hook.Webhook){
		"paused": func(t *testing.T, f *fixture, w hook.Webhook) { t.Helper(); f.pause(t, w, true) },
		"rotated": func(t *testing.T, f *fixture, w hook.Webhook) {
			t.Helper()
			f.change(t, w, func(w *hook.Webhook) { w.Replace("another") })
		},
		"disabled": endings["disabled"].end,
		"deleted":  endings["deleted"].end,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			w, other := f.topicWebhook(t, room(), "a"), f.topicWebhook(t, room(), "b")
			jobs, err := f.Outstanding(t.Context(), []hook.EventID{message(t, f.Store, room(), "x").ID}, 0, 1)
			require.NoError(t, err)
			var list []hook.Wanted
			var stays hook.DeliveryID
			for i := range jobs {
				list = append(list, hook.Wanted{ID: jobs[i].Delivery.ID, Version: jobs[i].Webhook.Version})
				if jobs[i].Webhook.ID == other.ID {
					stays = jobs[i].Delivery.ID
				}
			}
			end(t, f, w)
			claimed, err := f.ClaimDeliveries(t.Context(), list, hook.Claim{1})
			require.NoError(t, err)
			require.Equal(t, []hook.DeliveryID{stays}, claimed)
		})
	}
}
