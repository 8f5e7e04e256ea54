package stack

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha3"
	"encoding/hex"
	"hash"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const testSecret = "whsec_dGVzdA=="

func sign(hasher func() hash.Hash, secret, body string) string {
	mac := hmac.New(hasher, []byte(secret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// post sends one request to a receiver, and returns the status and the printed line.
func post(t *testing.T, target, body string, header map[string]string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	handler := newReceiver(receiverOptions{Secrets: []string{"other", testSecret}, Out: &out})
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(body))
	for name, value := range header {
		req.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, req)
	return w.Code, out.String()
}

func TestReceiverPrintsOneLine(t *testing.T) {
	t.Parallel()
	const body = `{"id": "evt_1", "type": "user.created", "data": {"n": 1}}`
	status, line := post(t, "/", body, map[string]string{
		"X-Webhook-Signature": sign(sha256.New, testSecret, body),
		"X-Webhook-Attempt":   "2",
	})
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, line, "  user.created  evt_1  attempt 2  verified yes  → 200  "+
		`{"id":"evt_1","type":"user.created","data":{"n":1}}`+"\n")
	require.Equal(t, 1, strings.Count(line, "\n"))
}

func TestReceiverVerifiesEveryProfile(t *testing.T) {
	t.Parallel()
	const body = `{}`
	keccak := func() hash.Hash { return sha3.New256() }
	for name, test := range map[string]struct {
		header, value string
		verified      bool
	}{
		"standard":        {"X-Webhook-Signature", sign(sha256.New, testSecret, body), true},
		"another secret":  {"X-Webhook-Signature", sign(sha256.New, "other", body), true},
		"momento":         {"momento-signature", sign(keccak, testSecret, body), true},
		"commenda":        {"Commenda-X-Secret", sign(sha256.New, testSecret, body), true},
		"unknown secret":  {"X-Webhook-Signature", sign(sha256.New, "unknown", body), false},
		"other body":      {"X-Webhook-Signature", sign(sha256.New, testSecret, `{} `), false},
		"upper case":      {"X-Webhook-Signature", strings.ToUpper(sign(sha256.New, testSecret, body)), false},
		"wrong algorithm": {"momento-signature", sign(sha256.New, testSecret, body), false},
		"none":            {"X-Other", "x", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, line := post(t, "/", body, map[string]string{test.header: test.value})
			require.Equal(t, test.verified, strings.Contains(line, "verified yes"), line)
			require.Equal(t, !test.verified, strings.Contains(line, "verified NO"), line)
		})
	}
}

func TestReceiverAnswersByAttempt(t *testing.T) {
	t.Parallel()
	for attempt, want := range map[string]int{"": 500, "1": 500, "2": 503, "3": 200, "4": 200, "0": 500, "x": 500} {
		status, line := post(t, "/?status=500,503,200", "", map[string]string{"X-Webhook-Attempt": attempt})
		require.Equal(t, want, status, "attempt %q", attempt)
		require.Contains(t, line, "→ "+strconv.Itoa(want))
	}
	for _, query := range []string{"status=99", "status=a", "delay=x", "delay=-1s", "delay=1h"} {
		status, _ := post(t, "/?"+query, "", nil)
		require.Equal(t, http.StatusBadRequest, status, query)
	}
}

func TestReceiverDelays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		status, _ := post(t, "/?delay=2s", "", nil)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, 2*time.Second, time.Since(begin))
	})
}

func TestReceiverLineCannotBeForged(t *testing.T) {
	t.Parallel()
	_, line := post(t, "/", "a\nb\x1b[2J"+strings.Repeat("x", maxShown), map[string]string{"X-Event-Type": "a\u202eb"})
	require.Equal(t, 1, strings.Count(line, "\n"))
	require.NotContains(t, line, "\x1b")
	require.NotContains(t, line, "\u202e")
	require.Contains(t, line, "… (507 bytes)")
}

func TestReceiverServes(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s, err := startReceiver(t.Context(), Loopback+":0", receiverOptions{Out: &out})
	require.NoError(t, err)
	status, _ := get(t, s.URL)
	require.Equal(t, http.StatusOK, status)
	require.NoError(t, s.Stop(t.Context()))
	require.Contains(t, out.String(), "verified NO")
}
