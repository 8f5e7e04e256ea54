package app_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/app"
)

// ready returns the answer of /readyz.
func (r *running) ready(t *testing.T) (status int, adminKey string) {
	t.Helper()
	status, body := r.do(t, http.MethodGet, "/readyz", "")
	var answer struct{ Checks map[string]string }
	require.NoError(t, json.Unmarshal([]byte(body), &answer), body)
	return status, answer.Checks["admin_key"]
}

func (r *running) awaitReady(t *testing.T, want int) {
	t.Helper()
	require.Eventually(t, func() bool {
		status, _ := r.ready(t)
		return status == want
	}, 20*time.Second, 20*time.Millisecond)
}

// A process whose configured key is refused logs that.
func TestNotReadyWithoutTheAdminKey(t *testing.T) {
	t.Parallel()
	o := options(t)
	r := start(t, o)
	r.awaitReady(t, http.StatusOK)
	_, body := r.do(t, http.MethodGet, "/v1/api-keys", "")
	var list struct {
		APIKeys []struct {
			ID       string
			Operator bool
		} `json:"api_keys"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &list))
	require.Len(t, list.APIKeys, 1)
	require.True(t, list.APIKeys[0].Operator)
	status, _ := r.do(t, http.MethodDelete, "/v1/api-keys/"+list.APIKeys[0].ID, "")
	require.Equal(t, http.StatusNoContent, status)
	status, check := r.ready(t)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "unavailable", check)

	startRefused(t, o)
}

// startRefused starts a process whose admin key is refused, and waits for the log of it. The process is not ready.
func startRefused(t *testing.T, o app.Options) {
	t.Helper()
	refused := make(said, 1)
	o.Logger = slog.New(slog.NewTextHandler(refused, nil))
	r := start(t, o)
	select {
	case <-refused:
	case <-time.After(20 * time.Second):
		t.Fatal("the key is not refused")
	}
	status, check := r.ready(t)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "unavailable", check)
}

// said is a writer for a log. It signals when the log says that the admin key was refused.
type said chan struct{}

func (s said) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("--admin-key is refused")) {
		s <- struct{}{}
	}
	return len(line), nil
}

// A new key ends the previous one. Processes that run with the previous key stay ready: a
// rollout replaces them one by one. A process that starts with it does not become ready.
func TestANewAdminKey(t *testing.T) {
	t.Parallel()
	o := options(t)
	before := start(t, o)
	before.awaitReady(t, http.StatusOK)
	changed := o
	changed.Config.AdminKey = "another-admin-key-of-the-tests"
	after := start(t, changed)
	require.Eventually(t, func() bool {
		status, _ := before.do(t, http.MethodGet, "/v1/webhooks", "")
		return status == http.StatusUnauthorized
	}, 20*time.Second, 20*time.Millisecond)
	after.awaitReady(t, http.StatusOK)
	before.awaitReady(t, http.StatusOK)
	startRefused(t, o)
	after.awaitReady(t, http.StatusOK)
}
