package e2e

import (
	"net/http"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
)

// S6: from the rotation until the overlap ends, a receiver can verify with either secret and the Standard Webhooks
// library; retries and test deliveries included.
func TestRotationWithOverlap(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	r := newRecorder(t, status(500))
	id, eventType := c.webhook(r.URL, nil)
	path := "/v1/webhooks/" + id + "/secret"
	first := c.do(http.MethodGet, path, nil, http.StatusOK)["secret"].(string)
	verifies := func(secret string, request recorded) bool {
		receiver, err := standardwebhooks.NewWebhook(secret)
		require.NoError(t, err)
		return receiver.Verify(request.Body, request.Header) == nil
	}
	// attempt retries the delivery manually, once.
	attempt := func(delivery string) recorded {
		n := len(r.requests())
		c.do(http.MethodPost, "/v1/deliveries/"+delivery+"/retry", nil, http.StatusOK)
		waitFor(t, "the attempt", func() bool { return len(r.requests()) > n })
		return r.requests()[n]
	}
	c.publish(eventType, object{"n": 1})
	waitFor(t, "the first attempt", func() bool { return len(r.requests()) > 0 })
	delivery := c.deliveries(id)[0].(object)["id"].(string)
	require.True(t, verifies(first, r.requests()[0]))

	second := c.do(http.MethodPost, path+"/rotate", nil, http.StatusOK)["secret"].(string)
	third := c.do(http.MethodPost, path+"/rotate", object{"overlap_seconds": 3600}, http.StatusOK)["secret"].(string)
	request := attempt(delivery)
	require.Len(t, strings.Split(request.Header.Get("Webhook-Signature"), " "), 3)
	for _, secret := range []string{first, second, third} {
		require.True(t, verifies(secret, request))
	}
	require.Equal(t, hmacHex(third, request.Body), request.Header.Get("X-Webhook-Signature"), "the new secret's alone")

	fourth := c.do(http.MethodPost, path+"/rotate", object{"overlap_seconds": 1}, http.StatusOK)["secret"].(string)
	waitFor(t, "the third secret to expire", func() bool { return !verifies(third, attempt(delivery)) })
	request = attempt(delivery)
	for _, secret := range []string{first, second, fourth} {
		require.True(t, verifies(secret, request), "each until its own time")
	}
	c.do(http.MethodPatch, "/v1/webhooks/"+id, object{"secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"}, http.StatusOK)
	request = attempt(delivery)
	require.True(t, verifies("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", request))
	for _, secret := range []string{first, second, third, fourth} {
		require.False(t, verifies(secret, request), "PATCH replaces at once")
	}
}
