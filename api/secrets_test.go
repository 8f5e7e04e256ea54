package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// S6: a rotation makes a new secret, or takes the given one, and the secret is in force at once.
func TestSecret(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.post(t, "/v1/webhooks", seedBody).object(t, http.StatusCreated)
	path := "/v1/webhooks/" + w["id"].(string) + "/secret"
	require.Equal(t, map[string]any{"secret": "whsec_abc123..."}, f.get(t, path).object(t, http.StatusOK))

	for _, body := range []string{"", "{}", `{"overlap_seconds":0}`} {
		rotated := f.post(t, path+"/rotate", body).object(t, http.StatusOK)
		delete(rotated, "overlap_until")
		require.Regexp(t, `^whsec_[A-Za-z0-9+/]{43}=$`, rotated["secret"])
		require.Equal(t, rotated["secret"], f.get(t, path).object(t, http.StatusOK)["secret"], "in force at once")
	}
	given := f.post(t, path+"/rotate", `{"secret":"my own é"}`).object(t, http.StatusOK)
	require.Equal(t, "my own é", given["secret"])
	require.Len(t, given["warnings"], 2)
	delete(given, "warnings")
	require.Equal(t, given, f.get(t, path).object(t, http.StatusOK))
}

func TestRotateSecretRefusals(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path := "/v1/webhooks/" + f.newWebhook(t, "user.created") + "/secret"
	before := f.get(t, path).body
	for body, location := range map[string]string{
		`{"secret":""}`:                                 "body.secret",
		`{"secret":"aaaaaaaa\nb"}`:                      "body.secret",
		`{"secret":"1234567"}`:                          "body.secret",
		`{"secret":"12345678 "}`:                        "body.secret",
		`{"secret":"` + strings.Repeat("a", 257) + `"}`: "body.secret",
		`{"secret":"` + strings.Repeat("é", 257) + `"}`: "body.secret",
		`{"secrets":"a"}`:                               "body.secrets",
		`{"secret":true}`:                               "body.secret",
		`{"overlap_seconds":-1}`:                        "body.overlap_seconds",
		`{"overlap_seconds":604801}`:                    "body.overlap_seconds",
		`{"overlap_seconds":1.5}`:                       "body.overlap_seconds",
		`{"overlap_seconds":"86400"}`:                   "body.overlap_seconds",
	} {
		f.post(t, path+"/rotate", body).refused(t, location, "")
	}
	f.post(t, path+"/rotate", `{`).problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
	require.Equal(t, before, f.get(t, path).body)
}

// S6: the overlap is a day by default, and the answer says when it ends.
func TestRotateWithAnOverlap(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path := "/v1/webhooks/" + f.newWebhook(t, "user.created") + "/secret"
	secret := func() string { return f.get(t, path).object(t, http.StatusOK)["secret"].(string) }
	until := func(a map[string]any) time.Duration {
		at, err := time.Parse(time.RFC3339, a["overlap_until"].(string))
		require.NoError(t, err)
		return time.Until(at).Round(time.Minute)
	}
	first := secret()
	rotated := f.post(t, path+"/rotate", "").object(t, http.StatusOK)
	require.Equal(t, 24*time.Hour, until(rotated))
	require.Equal(t, rotated, f.get(t, path).object(t, http.StatusOK))
	second := secret()
	require.Equal(t, 24*time.Hour, until(f.post(t, path+"/rotate", `{"overlap_seconds":3600}`).object(t, http.StatusOK)), "the first one's time is the last to come")
	w := f.stored(t, path)
	require.Len(t, w.Previous, 2)
	require.Equal(t, []hook.Secret{hook.Secret(second), hook.Secret(first)}, []hook.Secret{w.Previous[0].Secret, w.Previous[1].Secret})
	require.WithinDuration(t, time.Now().Add(time.Hour), w.Previous[0].Until, time.Minute)

	require.NotContains(t, f.post(t, path+"/rotate", `{"overlap_seconds":0}`).object(t, http.StatusOK), "overlap_until")
	require.Empty(t, f.stored(t, path).Previous, "a clean cut")
	require.Equal(t, 7*24*time.Hour, until(f.post(t, path+"/rotate", `{"overlap_seconds":604800}`).object(t, http.StatusOK)))
	f.do(t, "PATCH", strings.TrimSuffix(path, "/secret"), `{"description":"x"}`, nil).object(t, http.StatusOK)
	require.Len(t, f.stored(t, path).Previous, 1)
	f.do(t, "PATCH", strings.TrimSuffix(path, "/secret"), `{"secret":"`+first+`"}`, nil).object(t, http.StatusOK)
	require.Equal(t, map[string]any{"secret": first}, f.get(t, path).object(t, http.StatusOK), "PATCH replaces at once")
	require.Empty(t, f.stored(t, path).Previous)
}

// S6: no previous secret is dropped before its time to make room for another.
func TestRotateTooOften(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path := "/v1/webhooks/" + f.newWebhook(t, "user.created") + "/secret"
	for range hook.MaxPrevious {
		f.post(t, path+"/rotate", "").object(t, http.StatusOK)
	}
	before := f.get(t, path).body
	p := f.post(t, path+"/rotate", "").problem(t, http.StatusConflict, "FAILED_PRECONDITION")
	require.Contains(t, p.Detail, "4 earlier secrets are still valid")
	require.Equal(t, before, f.get(t, path).body)
	f.post(t, path+"/rotate", `{"overlap_seconds":0}`).object(t, http.StatusOK)
	f.post(t, path+"/rotate", "").object(t, http.StatusOK)
}

// A secret that can't make a webhook-signature can't be valid beside another one, and is dropped by a rotation.
func TestRotateWhatCannotOverlap(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, body := range []string{
		`{"url":"https://a.example/","events":["*"],"secret":"in plain words"}`,
		`{"url":"https://a.example/","events":["A"],"profile":"commenda"}`,
	} {
		path := "/v1/webhooks/" + f.post(t, "/v1/webhooks", body).object(t, http.StatusCreated)["id"].(string) + "/secret"
		require.NotContains(t, f.post(t, path+"/rotate", `{"overlap_seconds":3600}`).object(t, http.StatusOK), "overlap_until")
		require.Empty(t, f.stored(t, path).Previous)
	}
}

// stored returns the webhook of a path as the store has it.
func (f *fixture) stored(t *testing.T, path string) hook.Webhook {
	t.Helper()
	id, err := hook.ParseWebhookID(strings.Split(path, "/")[3])
	require.NoError(t, err)
	w, err := f.store.Webhook(t.Context(), hook.DefaultTenant(), id)
	require.NoError(t, err)
	return w
}

// Spec 7: secrets are encrypted at rest and never logged.
func TestSecretsAtRest(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.post(t, "/v1/webhooks", `{"url":"https://a.example/","events":["*"],"secret":"hush-hush","headers":{"X-A":"hush-too"}}`).object(t, http.StatusCreated)
	for _, text := range []string{"hush-hush", "hush-too"} {
		require.Zero(t, value[int](t, f, `select count(*) from webhooks w where position($1::bytea in secret) + position($1::bytea in headers) > 0
			or w::text like '%' || $2 || '%'`, []byte(text), text))
	}
	require.NotContains(t, f.log.String(), "hush")
}

// The headers with one value may change over at the end of the overlap, also for secrets that have no other signature,
// and in every profile.
func TestRotateWithTheOldSingleValue(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for name, webhook := range map[string]map[string]any{
		"generated":  f.post(t, "/v1/webhooks", `{"url":"https://a.example/","events":["*"]}`).object(t, http.StatusCreated),
		"the seed's": f.post(t, "/v1/webhooks", seedBody).object(t, http.StatusCreated),
		"commenda":   f.post(t, "/v1/webhooks", `{"url":"https://a.example/","events":["a"],"profile":"commenda"}`).object(t, http.StatusCreated),
	} {
		path := "/v1/webhooks/" + webhook["id"].(string) + "/secret"
		rotated := f.post(t, path+"/rotate", `{"single_value":"old","overlap_seconds":3600}`).object(t, http.StatusOK)
		require.Equal(t, rotated["overlap_until"], rotated["single_value_until"], name)
		at, err := time.Parse(time.RFC3339, rotated["single_value_until"].(string))
		require.NoError(t, err)
		require.WithinDuration(t, time.Now().Add(time.Hour), at, time.Minute)
		w := f.stored(t, path)
		require.Equal(t, webhook["secret"], w.SingleValue(time.Now()).Reveal(), name)
		require.Equal(t, rotated["secret"], w.SingleValue(at.Add(time.Second)).Reveal(), name)

		rotated = f.post(t, path+"/rotate", `{"single_value":"new","overlap_seconds":3600}`).object(t, http.StatusOK)
		require.NotContains(t, rotated, "single_value_until", name)
		w = f.stored(t, path)
		require.Equal(t, rotated["secret"], w.SingleValue(time.Now()).Reveal(), name)
	}
	path := "/v1/webhooks/" + f.newWebhook(t, "user.created") + "/secret/rotate"
	f.post(t, path, `{"single_value":"old","overlap_seconds":0}`).refused(t, "body.single_value", "overlap")
	f.post(t, path, `{"single_value":"both"}`).refused(t, "body.single_value", "")
}
