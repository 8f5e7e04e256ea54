package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// S6.
func TestSecret(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.post(t, "/v1/webhooks", seedBody).object(t, http.StatusCreated)
	path := "/v1/webhooks/" + w["id"].(string) + "/secret"
	require.Equal(t, map[string]any{"secret": "whsec_abc123..."}, f.get(t, path).object(t, http.StatusOK))

	for _, body := range []string{"", "{}"} {
		rotated := f.post(t, path+"/rotate", body).object(t, http.StatusOK)
		require.Regexp(t, `^whsec_[A-Za-z0-9+/]{43}=$`, rotated["secret"])
		require.Equal(t, rotated, f.get(t, path).object(t, http.StatusOK), "in force at once")
	}
	given := f.post(t, path+"/rotate", `{"secret":"my own é"}`).object(t, http.StatusOK)
	require.Equal(t, map[string]any{"secret": "my own é"}, given)
	require.Equal(t, given, f.get(t, path).object(t, http.StatusOK))
}

func TestRotateSecretRefusals(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path := "/v1/webhooks/" + f.newWebhook(t, "user.created") + "/secret"
	before := f.get(t, path).body
	for body, location := range map[string]string{
		`{"secret":""}`:     "body.secret",
		`{"secret":"a\nb"}`: "body.secret",
		`{"secret":"` + strings.Repeat("a", 257) + `"}`: "body.secret",
		`{"secret":"` + strings.Repeat("é", 129) + `"}`: "body.secret",
		`{"secrets":"a"}`: "body.secrets",
		`{"secret":true}`: "body.secret",
	} {
		f.post(t, path+"/rotate", body).refused(t, location, "")
	}
	f.post(t, path+"/rotate", `{`).problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
	require.Equal(t, before, f.get(t, path).body)
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
