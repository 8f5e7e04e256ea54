package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// unsound returns secrets that are accepted, with their warnings.
func unsound() map[string][]string {
	const unsigned, weak = "carries no v1", "guessed"
	bytes32 := "whsec_dGhpcyBpcyBhIHNlY3JldCBmb3IgZXhhbXBsZXM="
	return map[string][]string{
		bytes32:                              nil,
		"whsec_abc123...":                    {unsigned, weak},
		"пароль12":                           {unsigned, weak}, // 14 bytes
		"correct horse battery staple":       {unsigned},
		"whsec_" + strings.Repeat("-_", 16):  {unsigned}, // base64url
		strings.TrimSuffix(bytes32, "="):     {unsigned},
		"v1," + bytes32:                      {unsigned},
		strings.ToUpper(bytes32):             {unsigned},
		"whsec_" + strings.Repeat("YWJj", 4): {"has 12 bytes"},
		"whsec_YWJj":                         {"has 3 bytes", weak},
	}
}

// said compares the warnings of an answer with the expected ones.
func said(t *testing.T, secret string, answer map[string]any, want []string) {
	t.Helper()
	if len(want) == 0 {
		require.NotContains(t, answer, "warnings", secret)
		return
	}
	list := objects(t, answer["warnings"])
	require.Len(t, list, len(want), "%s: %v", secret, list)
	for i, w := range want {
		require.Equal(t, "body.secret", list[i]["location"])
		require.Contains(t, list[i]["message"], w, secret)
	}
}

// A secret that probably does not sign as its owner expects is accepted with a warning, in every request that has a
// secret. The schemes shown are those of the requests.
func TestWarnings(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	for secret, want := range unsound() {
		schemes := any([]any{"v1"})
		if len(want) > 0 && strings.HasPrefix(want[0], "carries no v1") {
			schemes = nil
		}
		body := `"secret":"` + secret + `"`
		created := f.post(t, "/v1/webhooks", `{"url":"https://a.example/","events":["*"],`+body+`}`).object(t, http.StatusCreated)
		said(t, secret, created, want)
		require.Equal(t, schemes, created["signature_schemes"], secret)

		path := "/v1/webhooks/" + f.newWebhook(t, "user.created")
		changed := f.do(t, http.MethodPatch, path, `{`+body+`}`, nil).object(t, http.StatusOK)
		said(t, secret, changed, want)
		require.Equal(t, schemes, changed["signature_schemes"], secret)
		shown := f.get(t, path).object(t, http.StatusOK)
		require.Equal(t, schemes, shown["signature_schemes"], secret)
		require.NotContains(t, shown, "warnings")

		path = "/v1/webhooks/" + f.newWebhook(t, "user.created") + "/secret"
		said(t, secret, f.post(t, path+"/rotate", `{`+body+`}`).object(t, http.StatusOK), want)
	}
	both := f.post(t, "/v1/webhooks", `{"url":"https://a.example/","events":["*"],"secret":"correct horse battery staple","signature_schemes":["v1","v1a"]}`).object(t, http.StatusCreated)
	require.Equal(t, []any{"v1a"}, both["signature_schemes"])
	said(t, "v1a", both, []string{"carries no v1"})
	said(t, "generated", f.post(t, "/v1/webhooks", `{"url":"https://a.example/","events":["A"],"profile":"commenda"}`).object(t, http.StatusCreated), nil)
}

// Secrets are counted in characters, wherever a client gives one.
func TestNewSecrets(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path := "/v1/webhooks/" + f.newWebhook(t, "user.created")
	commenda := "/webhooks/" + f.register(t, `{"url":"https://yourapp.com/webhook","topics":["A"]}`)["id"].(string)
	give := func(secret string) map[string]answer {
		secret = `"` + secret + `"`
		return map[string]answer{
			"body.secret of create":   f.post(t, "/v1/webhooks", `{"url":"https://a.example/","events":["*"],"secret":`+secret+`}`),
			"body.secret of PATCH":    f.do(t, http.MethodPatch, path, `{"secret":`+secret+`}`, nil),
			"body.secret of rotate":   f.post(t, path+"/secret/rotate", `{"overlap_seconds":0,"secret":`+secret+`}`),
			"body.key of registering": f.post(t, "/webhooks", `{"url":"https://yourapp.com/webhook","topics":["A"],"key":`+secret+`}`),
			"body.key of updating":    f.post(t, commenda, `{"key":`+secret+`}`),
		}
	}
	for _, bad := range []string{"", "1234567", "пароль1", "12345678 ", "\u00a012345678", `1234\t5678`, strings.Repeat("п", 257)} {
		for name, a := range give(bad) {
			location, _, _ := strings.Cut(name, " ")
			a.refused(t, location, "")
			require.Len(t, a.problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT").Errors, 1, "%s: %q: %s", name, bad, a.body)
		}
	}
	for _, good := range []string{"пароль12", "1234 5678", strings.Repeat("п", 256)} {
		for name, a := range give(good) {
			require.Less(t, a.status, 300, "%s: %q: %s", name, good, a.body)
		}
	}
}

// A stored secret that would be too short today stays, and the rest of its webhook can be changed.
func TestStoredSecretsMayBeShort(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := hook.Webhook{TenantID: hook.DefaultTenant(), URL: "https://a.example/", Events: []string{"*"}, Secret: " s", Active: true}
	w.Normalize()
	w, err := f.store.CreateWebhook(t.Context(), w)
	require.NoError(t, err)
	path := "/v1/webhooks/" + w.ID.String()
	for _, body := range []string{`{"description":"x"}`, `{"active":false}`, `{"url":"https://b.example/","rate_limit":5}`} {
		said(t, body, f.do(t, http.MethodPatch, path, body, nil).object(t, http.StatusOK), []string{"carries no v1", "guessed"})
	}
	require.Equal(t, " s", f.get(t, path+"/secret").object(t, http.StatusOK)["secret"])

	w = hook.Webhook{TenantID: hook.DefaultTenant(), Profile: hook.ProfileCommenda, URL: "https://a.example/", Events: []string{"A"}, Secret: "s", Active: true}
	w.Normalize()
	w, err = f.store.CreateWebhook(t.Context(), w)
	require.NoError(t, err)
	require.Equal(t, "x", f.update(t, w.ID.String(), `{"name":"x"}`)["name"])
}

// The document's limits are in characters, as JSON Schema's are.
func TestAPIKeysAreNamedInAnyScript(t *testing.T) {
	t.Parallel()
	f := setup(t)
	name, token := strings.Repeat("ж", 100), strings.Repeat("ж", 256)
	k := f.post(t, "/v1/api-keys", `{"name":"`+name+`","scopes":["read"],"token_id":"`+token+`"}`).object(t, http.StatusCreated)
	require.Equal(t, name, k["name"])
	require.Equal(t, token, k["token_id"])
	f.post(t, "/v1/api-keys", `{"name":"ж`+name+`","scopes":["read"]}`).refused(t, "body.name", "100")
	f.post(t, "/v1/api-keys", `{"name":"x","scopes":["read"],"token_id":"ж`+token+`"}`).refused(t, "body.token_id", "256")
}
