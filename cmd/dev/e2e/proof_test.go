package e2e

import (
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Spec 9: a test delivery that the endpoint answers closes the breaker, and the deferred deliveries are sent before
// the next probe.
func TestATestClosesTheBreaker(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	hook, eventType := c.webhook("http://"+addr+"/", nil)
	const unavailable = "endpoint unavailable: deliveries wait for it"
	show := func() object { return c.do(http.MethodGet, "/v1/webhooks/"+hook, nil, http.StatusOK) }
	publish := func(n int) {
		for i := range n {
			c.publish(eventType, object{"n": i})
		}
	}
	publish(20)
	waitFor(t, "the breaker to trip", func() bool { return show()["status_reason"] == unavailable })
	require.NotEqual(t, "healthy", show()["status"])
	publish(40)
	var probe time.Time
	waitUpTo(t, 2*time.Minute, "the next probe to be a while off", func() bool {
		newest := c.deliveries(hook)[0].(object)
		require.NotContains(t, newest, "next_attempt_at")
		require.Equal(t, hook+"-drain", newest["workflow_id"])
		waiting := newest["waiting"].(object)
		require.Equal(t, "endpoint_unavailable", waiting["reason"])
		text, known := waiting["next_probe_at"].(string)
		if !known {
			return false
		}
		probe, err = time.Parse(time.RFC3339Nano, text)
		require.NoError(t, err)
		return time.Until(probe) > 20*time.Second
	})

	back := newRecorderAt(t, addr)
	require.Equal(t, "success", c.do(http.MethodPost, "/v1/webhooks/"+hook+"/test", nil, http.StatusOK)["status"])
	require.NotEqual(t, unavailable, show()["status_reason"])
	// Deliveries that were sent as probes have their own retry schedule.
	waitFor(t, "what waited to arrive", func() bool { return len(back.requests()) > 30 })
	require.True(t, time.Now().Before(probe), "before the next probe")
}
