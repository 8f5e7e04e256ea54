package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// M4: the answer has exactly secret, webhookName and cacheName. Rotating gives a new secret that is in force at once
// and is visible on every surface.
func TestMomentoSecret(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path := named("chat", "translator")
	secret := f.put(t, "chat", "translator", "mo-nuts")
	neighbour := f.put(t, "chat", "neighbour", "mo-nuts")
	require.Equal(t, map[string]any{"secret": secret, "webhookName": "translator", "cacheName": "chat"},
		f.get(t, path+"/secret").object(t, http.StatusOK))

	v1 := "/v1/webhooks/" + f.get(t, "/v1/webhooks").list(t, "webhooks")[1]["id"].(string) + "/secret"
	last := secret
	for _, body := range []string{"", `{"secret":"not looked at"}`, "no JSON"} {
		rotated := f.post(t, path+"/secret/rotate", body).object(t, http.StatusOK)
		require.Equal(t, map[string]any{"secret": rotated["secret"], "webhookName": "translator", "cacheName": "chat"}, rotated)
		require.Regexp(t, `^[A-Za-z0-9+/]{43}=$`, rotated["secret"])
		require.NotEqual(t, last, rotated["secret"])
		last = rotated["secret"].(string)
		require.Equal(t, last, f.get(t, path+"/secret").object(t, http.StatusOK)["secret"])
		require.Equal(t, last, f.get(t, v1).object(t, http.StatusOK)["secret"])
		require.Equal(t, last, f.put(t, "chat", "translator", "mo-nuts"))
	}
	onV1 := f.post(t, v1+"/rotate", "").object(t, http.StatusOK)["secret"]
	require.NotEqual(t, last, onV1)
	require.Equal(t, onV1, f.get(t, path+"/secret").object(t, http.StatusOK)["secret"])
	require.Equal(t, neighbour, f.get(t, named("chat", "neighbour")+"/secret").object(t, http.StatusOK)["secret"])

	for _, unknown := range []string{named("chat", "other"), named("other", "translator"), named("Chat", "translator")} {
		f.get(t, unknown+"/secret").problem(t, http.StatusNotFound, "NOT_FOUND")
		f.post(t, unknown+"/secret/rotate", "").problem(t, http.StatusNotFound, "NOT_FOUND")
	}
	require.NotContains(t, f.log.String(), last)
}
