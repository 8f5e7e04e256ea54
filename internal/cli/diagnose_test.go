package cli

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// Spec A5: grapnel verify explains what is wrong with nothing but the request and the secret.
func TestVerifyExplains(t *testing.T) {
	t.Parallel()
	for _, p := range hook.Profiles() {
		text := saved(p, time.Now(), "\n")
		for name, c := range map[string]struct{ request, secret, cause, detail string }{
			"re-serialised": {strings.Replace(text, `{"id":"evt_1",`, `{"id": "evt_1", `, 1), secret, "body reserialized", `received   {"id": "evt_1",`},
			"white space":   {text, secret + "\n", "secret white space", "Remove the white space"},
			"stripped":      {text, strings.TrimPrefix(secret, "whsec_"), "key prefix stripped", "with whsec_"},
			"unknown":       {text, "whsec_" + base64.StdEncoding.EncodeToString([]byte("another secret")), "unexplained", "current one"},
		} {
			r := command(t, c.request, "verify", "--secret="+c.secret)
			require.Equal(t, 6, r.code(), name)
			require.EqualError(t, r.failed, "the request does not verify")
			require.Contains(t, r.out, c.cause, name)
			require.Contains(t, r.out, c.detail, name)
			require.NotContains(t, r.out, strings.TrimPrefix(c.secret, "whsec_"), name)
		}
	}
}

// file writes a file and returns its path.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

const diagnosed = `{"verdict":"body_reserialized","summary":"The body differs.","next_step":"Verify the raw bytes.","attempt":2,"body_compared":true,
	"signatures":[{"header":"X-Webhook-Signature","valid":false}],
	"findings":[{"cause":"body_reserialized","summary":"The body differs.","next_step":"Verify the raw bytes.",
		"difference":{"at":6,"sent":"{\"id\":\"evt\u0007","received":"{\"id\": \"evt","sent_length":10,"received_length":11}}]}`

func TestDiagnoseDelivery(t *testing.T) {
	t.Parallel()
	var got map[string]any
	answer := diagnosed
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(raw, &got) != nil || r.URL.Path != "/v1/deliveries/del_1/diagnose" {
			http.Error(w, "bad", http.StatusTeapot)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	body := file(t, "{\"id\": 1}\xff")
	want := map[string]any{"Webhook-Id": "evt_1", "X-Webhook-Signature": "c0ffee"}
	for _, headers := range []string{
		"webhook-id: evt_1\nX-Webhook-Signature: c0ffee\n",
		"POST / HTTP/1.1\r\nwebhook-id: evt_1\r\nX-Webhook-Signature: c0ffee\r\n\r\n",
		`{"webhook-id":"evt_1","x-webhook-signature":["c0ffee"]}`,
	} {
		r := command(t, headers, "deliveries", "diagnose", "del_1", "--url="+server.URL, "--headers=-", "--body="+body, "--secret=whsec_x", "--computed=c0ffee")
		require.Equal(t, 6, r.code(), r.failed)
		require.EqualError(t, r.failed, "the request does not verify: body reserialized")
		require.Equal(t, want, got["headers"])
		require.Equal(t, base64.StdEncoding.EncodeToString([]byte("{\"id\": 1}\xff")), got["body_base64"])
		require.Equal(t, []any{"whsec_x", "c0ffee"}, []any{got["secret"], got["computed_signature"]})
		for _, text := range []string{"body reserialized", "Verify the raw bytes.", `{"id": "evt`, `{"id":"evt·`} {
			require.Contains(t, r.out, text)
		}
	}
	answer = `{"verdict":"verified","summary":"All is well.","body_compared":false,"signatures":[],"findings":[]}`
	r := command(t, "", "deliveries", "diagnose", "del_1", "--url="+server.URL, "--headers="+file(t, "a: b"), "--body="+body)
	require.NoError(t, r.failed)
	require.Contains(t, r.out, "All is well.")
	require.Contains(t, r.out, "cannot be rebuilt")
	r = command(t, "", "deliveries", "diagnose", "del_1", "--url="+server.URL, "--headers="+file(t, ""), "--body="+body, "--json")
	require.JSONEq(t, answer, r.out)
}

func TestDiagnoseDeliveryWantsFiles(t *testing.T) {
	t.Parallel()
	body, headers := file(t, "{}"), file(t, "a: b")
	for want, args := range map[string][]string{
		"cannot both be standard input": {"--headers=-", "--body=-"},
		"no such file":                  {"--headers=" + headers + "x", "--body=" + body},
		"cannot be parsed":              {"--headers=" + file(t, "no header"), "--body=" + body},
		"is not JSON":                   {"--headers=" + file(t, "{"), "--body=" + body},
		`the value of "a" is no text`:   {"--headers=" + file(t, `{"a":1}`), "--body=" + body},
	} {
		r := command(t, "", append([]string{"deliveries", "diagnose", "del_1"}, args...)...)
		require.ErrorContains(t, r.failed, want)
		require.Equal(t, 2, r.code())
	}
}
