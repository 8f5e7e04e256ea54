package payload_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/payload"
)

// A5: the body of an attempt can be built again from the event, also where it contains the time of sending.
func TestRebuild(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 15, 12, 0, 0, 999_900_000, time.UTC)
	for _, p := range hook.Profiles() {
		job := setup(t, p)
		sent := payload.Request(job, at).Body
		same := func(body []byte) bool { return bytes.Equal(body, sent) }
		for _, lag := range []time.Duration{0, time.Millisecond, 90 * time.Millisecond} {
			require.Equal(t, string(sent), string(payload.Rebuild(p, &job.Event, job.Webhook.ID, at.Add(lag), same)), p)
		}
		if p == hook.ProfileMomento {
			require.Nil(t, payload.Rebuild(p, &job.Event, job.Webhook.ID, at.Add(time.Minute), same))
		}
	}
}
