package payload_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/payload"
)

// If a receiver echoes the request, the delivery log does not contain its credentials.
func TestEchoesAreBlanked(t *testing.T) {
	t.Parallel()
	w := setup(t, hook.ProfileStandard).Webhook
	w.Headers = map[string]hook.Secret{
		"Authorization": "Bearer hunter2/+key", "X-Quoted": `a"quoted"value`, "X-Team": "acme",
	}
	w.Previous = []hook.PreviousSecret{{Secret: "whsec_before"}}
	for name, c := range map[string]struct{ body, want string }{
		"as it is":            {"got Bearer hunter2/+key.", "got ***."},
		"the credential":      {"key=hunter2/+key", "key=***"},
		"in JSON":             {`{"v":"a\"quoted\"value"}`, `{"v":"***"}`},
		"in PHP's JSON":       {`{"v":"hunter2\/+key"}`, `{"v":"***"}`},
		"in a form":           {"v=hunter2%2F%2Bkey", "v=***"},
		"the secret":          {"expected whsec_abc123", "expected ***"},
		"the secret before":   {"whsec_before", "***"},
		"short values":        {"hello acme", "hello acme"},
		"nothing of the kind": {"OK", "OK"},
		"at the cut":          {strings.Repeat("x", hook.MaxResponseBody-9) + "a\"quoted\"", strings.Repeat("x", hook.MaxResponseBody-9) + "***"},
		"not at an end":       {"a\"quoted\"", "a\"quoted\""},
	} {
		a := hook.Attempt{StatusCode: 200, ResponseBody: []byte(c.body)}
		payload.RedactEchoes(w, &a)
		require.Equal(t, c.want, string(a.ResponseBody), name)
	}
	given := http.Header{"X-Echo": {"plain", "was Bearer hunter2/+key"}, "Date": {"today"}}
	a := hook.Attempt{StatusCode: 500, ResponseHeaders: given}
	payload.RedactEchoes(w, &a)
	require.Equal(t, http.Header{"X-Echo": {"plain", "was ***"}, "Date": {"today"}}, a.ResponseHeaders)
	require.Equal(t, "was Bearer hunter2/+key", given["X-Echo"][1], "what was received is not written to")
}
