package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

const keysPath = "/.well-known/webhook-keys"

// The public keys of v1a are public, for one tenant at a time.
func TestSigningKeys(t *testing.T) {
	t.Parallel()
	f := setup(t)
	anybody := f.as("")
	before := anybody.get(t, keysPath)
	require.Equal(t, map[string]any{"keys": []any{}}, before.object(t, http.StatusOK))
	require.Equal(t, "no-cache", before.header.Get("Cache-Control"), "the first key may come at any moment")

	w := f.post(t, "/v1/webhooks", `{"url":"https://a.example/","events":["*"],"secret":"in plain words","signature_schemes":["v1a"]}`).object(t, http.StatusCreated)
	require.Equal(t, []any{"v1a"}, w["signature_schemes"])
	require.Equal(t, keysPath, w["public_keys_path"])
	a := anybody.get(t, keysPath)
	require.Equal(t, "public, max-age=300", a.header.Get("Cache-Control"))
	keys := objects(t, a.object(t, http.StatusOK)["keys"])
	require.Len(t, keys, 1)
	key := keys[0]
	require.Regexp(t, `^[A-Za-z0-9_-]{43}$`, key["kid"])
	require.Regexp(t, `^[A-Za-z0-9_-]{43}$`, key["x"])
	require.Regexp(t, `^whpk_[A-Za-z0-9+/]{43}=$`, key["whpk"])
	require.Equal(t, strings.NewReplacer("-", "+", "_", "/").Replace(key["x"].(string))+"=", strings.TrimPrefix(key["whpk"].(string), "whpk_"))
	require.Equal(t, map[string]any{
		"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": key["kid"], "x": key["x"], "whpk": key["whpk"],
	}, key, "and nothing else: no private part, no tenant")

	_, err := f.store.RotateSigningKey(t.Context(), hook.DefaultTenant(), time.Hour)
	require.NoError(t, err)
	keys = objects(t, anybody.get(t, keysPath).object(t, http.StatusOK)["keys"])
	require.Len(t, keys, 2)
	require.Equal(t, key["kid"], keys[1]["kid"])
	require.NotContains(t, keys[0], "expires_at")
	require.Contains(t, keys[1], "expires_at")
}

// No tenant's keys are valid for another, and answers don't reveal which tenants exist.
func TestSigningKeysOfTenants(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, key := f.newTenant(t)
	const body = `{"url":"https://a.example/","events":["*"],"signature_schemes":["v1","v1a"]}`
	f.post(t, "/v1/webhooks", body).object(t, http.StatusCreated)
	w := f.as(key).post(t, "/v1/webhooks", body).object(t, http.StatusCreated)
	require.Equal(t, keysPath+"?tenant="+id.String(), w["public_keys_path"])
	anybody := f.as("")
	theirs := anybody.get(t, w["public_keys_path"].(string)).list(t, "keys")
	require.Len(t, theirs, 1)
	ours := anybody.get(t, keysPath).list(t, "keys")
	require.Len(t, ours, 1)
	require.NotEqual(t, ours[0]["kid"], theirs[0]["kid"])
	require.Empty(t, anybody.get(t, keysPath+"?tenant="+hook.TenantID{1}.String()).list(t, "keys"), "as of one without keys")
	anybody.get(t, keysPath+"?tenant=acme").refused(t, "query.tenant", "is not a tenant's id")
}

func TestSignatureSchemes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path := "/v1/webhooks/" + f.newWebhook(t, "user.created")
	w := f.get(t, path).object(t, http.StatusOK)
	require.Equal(t, []any{"v1"}, w["signature_schemes"])
	require.NotContains(t, w, "public_keys_path")
	w = f.do(t, "PATCH", path, `{"signature_schemes":["v1","v1a"]}`, nil).object(t, http.StatusOK)
	require.Equal(t, []any{"v1", "v1a"}, w["signature_schemes"])
	w = f.do(t, "PATCH", path, `{"description":"x"}`, nil).object(t, http.StatusOK)
	require.Equal(t, []any{"v1", "v1a"}, w["signature_schemes"], "it is left as it is")

	for body, location := range map[string]string{
		`{"signature_schemes":[]}`:                "body.signature_schemes",
		`{"signature_schemes":["v2"]}`:            "body.signature_schemes[0]",
		`{"signature_schemes":["v1a","v1","v1"]}`: "body.signature_schemes[2]",
		`{"signature_schemes":"v1a"}`:             "body.signature_schemes",
	} {
		f.do(t, "PATCH", path, body, nil).refused(t, location, "")
	}
	for _, schemes := range []string{`["v1"]`, `["v1a"]`} {
		f.post(t, "/v1/webhooks", `{"url":"https://a.example/","events":["A"],"profile":"commenda","signature_schemes":`+schemes+`}`).
			refused(t, "body.signature_schemes", "standard profile only")
	}
	commenda := "/v1/webhooks/" + f.post(t, "/v1/webhooks", `{"url":"https://a.example/","events":["A"],"profile":"commenda"}`).object(t, http.StatusCreated)["id"].(string)
	require.NotContains(t, f.get(t, commenda).object(t, http.StatusOK), "signature_schemes")
	f.do(t, "PATCH", commenda, `{"signature_schemes":["v1a"]}`, nil).refused(t, "body.signature_schemes", "standard profile only")
	require.Empty(t, f.as("").get(t, keysPath+"?tenant="+hook.TenantID{15: 9}.String()).list(t, "keys"))
}
