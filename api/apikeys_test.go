package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// Spec 7: shown once, stored as a hash.
func TestCreateAPIKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	k := f.post(t, "/v1/api-keys", `{"name":"Publisher","scopes":["publish","read"],"token_id":"mo","expires_at":"2999-01-15T12:00:00+01:00","topics":["user.*"]}`).object(t, http.StatusCreated)
	require.Regexp(t, `^key_[0-7][0-9a-hjkmnp-tv-z]{25}$`, k["id"])
	require.Regexp(t, `^gk_[a-z2-7]{52}$`, k["key"], "256 bits")
	moment(t, k["created_at"])
	text := k["key"].(string)
	delete(k, "key")
	require.Equal(t, map[string]any{
		"id": k["id"], "name": "Publisher", "scopes": []any{"publish", "read"}, "token_id": "mo", "topics": []any{"user.*"},
		"expires_at": "2999-01-15T11:00:00Z", "created_at": k["created_at"],
	}, k)
	require.Equal(t, k, f.get(t, "/v1/api-keys").list(t, "api_keys")[0], "the list never shows the key")
	require.Zero(t, value[int](t, f, `select count(*) from api_keys k where k::text like '%' || $1 || '%'`, text))
	require.NotContains(t, f.log.String(), text)

	small := f.post(t, "/v1/api-keys", `{"name":"x","scopes":["read"]}`).object(t, http.StatusCreated)
	for _, absent := range []string{"token_id", "topics", "expires_at", "revoked_at"} {
		require.NotContains(t, small, absent)
	}
	require.NotEqual(t, text, small["key"])
}

func TestCreateAPIKeyRefusals(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for body, location := range map[string]string{
		`{"scopes":["read"]}`:                                                     "body",
		`{"name":"","scopes":["read"]}`:                                           "body.name",
		`{"name":"` + strings.Repeat("a", 101) + `","scopes":["read"]}`:           "body.name",
		`{"name":"a\nb","scopes":["read"]}`:                                       "body.name",
		`{"name":"x"}`:                                                            "body",
		`{"name":"x","scopes":[]}`:                                                "body.scopes",
		`{"name":"x","scopes":["root"]}`:                                          "body.scopes[0]",
		`{"name":"x","scopes":"read"}`:                                            "body.scopes",
		`{"name":"x","scopes":["read"],"expires_at":"2020-01-01T00:00:00Z"}`:      "body.expires_at",
		`{"name":"x","scopes":["read"],"expires_at":"9999-12-31T23:59:59-01:00"}`: "body.expires_at",
		`{"name":"x","scopes":["read"],"expires_at":"soon"}`:                      "body.expires_at",
		`{"name":"x","scopes":["read"],"topics":[""]}`:                            "body.topics[0]",
		`{"name":"x","scopes":["read"],"token_id":"a\u0000"}`:                     "body.token_id",
		`{"name":"x","scopes":["read"],"scope":"read"}`:                           "body.scope",
		`{"name":"x","scopes":["read"],"key":"mine"}`:                             "body.key",
	} {
		f.post(t, "/v1/api-keys", body).refused(t, location, "")
	}
	require.Len(t, f.get(t, "/v1/api-keys").list(t, "api_keys"), 1, "the fixture's only")
}

func TestListAndRevokeAPIKeys(t *testing.T) {
	t.Parallel()
	f := setup(t)
	k := f.post(t, "/v1/api-keys", `{"name":"x","scopes":["read"]}`).object(t, http.StatusCreated)
	path := "/v1/api-keys/" + k["id"].(string)
	for range 2 { // twice is no error
		a := f.do(t, http.MethodDelete, path, "", nil)
		require.Equal(t, http.StatusNoContent, a.status)
		require.Empty(t, a.body)
	}
	listed := f.get(t, "/v1/api-keys").list(t, "api_keys")
	require.Len(t, listed, 2)
	require.Equal(t, k["id"], listed[0]["id"], "newest first, revoked ones too")
	moment(t, listed[0]["revoked_at"])
	require.NotContains(t, listed[1], "revoked_at")
	f.as(k["key"].(string)).get(t, "/v1/webhooks").problem(t, http.StatusUnauthorized, "UNAUTHENTICATED")
	for range 4 {
		f.newKey(t, hook.DefaultTenant(), hook.ScopeRead)
	}
	require.Len(t, f.pages(t, "/v1/api-keys", "api_keys", 2, 6), 6)
}

// Answers mark the operator's key, and no other key can revoke it.
func TestTheOperatorKeyInTheList(t *testing.T) {
	t.Parallel()
	f := setup(t)
	admin := f.as(f.newKey(t, hook.DefaultTenant(), hook.ScopeAdmin))
	require.Len(t, admin.get(t, "/v1/api-keys").list(t, "api_keys"), 1, "platform keys are for platform keys to see")
	listed := f.get(t, "/v1/api-keys").list(t, "api_keys")
	require.Len(t, listed, 2)
	require.NotContains(t, listed[0], "operator")
	require.Equal(t, true, listed[1]["operator"])
	path := "/v1/api-keys/" + listed[1]["id"].(string)
	p := admin.do(t, http.MethodDelete, path, "", nil).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	require.Contains(t, p.Detail, "operator")
	f.get(t, "/v1/webhooks").object(t, http.StatusOK)
	require.Equal(t, http.StatusNoContent, f.do(t, http.MethodDelete, path, "", nil).status)
	f.get(t, "/v1/webhooks").problem(t, http.StatusUnauthorized, "UNAUTHENTICATED")
}
