package main

import (
	"bytes"
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
	"grapnel/storage"
)

// keyOf is the key of 32 times the byte.
func keyOf(b byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, secrets.KeySize))
}

// webhookUnder stores a webhook whose secret is sealed with the first of the keys.
func webhookUnder(t *testing.T, url, keys string) hook.Webhook {
	t.Helper()
	box, err := secrets.New(keys)
	require.NoError(t, err)
	store, err := storage.Open(t.Context(), storage.Config{URL: url, Box: box})
	require.NoError(t, err)
	defer store.Close()
	w := hook.Webhook{
		TenantID: hook.DefaultTenant(), URL: "https://example.com/hooks", Events: []string{"user.created"}, Secret: "geheim", Active: true,
		Headers: map[string]hook.Secret{"Authorization": "geheim"},
	}
	w.Normalize()
	w, err = store.CreateWebhook(t.Context(), w)
	require.NoError(t, err)
	return w
}

// Spec 7: a rotation of the key as an operator does it.
func TestSecretsReencrypt(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	for range 3 {
		webhookUnder(t, url, keyOf(1))
	}
	reencrypt := func(keys string) (string, error) {
		return grapnel(t, "secrets", "reencrypt", "--database-url="+url, "--encryption-key="+keys)
	}
	out, err := reencrypt(keyOf(2) + "," + keyOf(1))
	require.NoError(t, err)
	require.Equal(t, "3 webhooks and 0 signing keys looked at, 3 encrypted anew with the first key, 0 not readable\n"+
		"The first key opens everything. Remove the others as soon as every process runs with this one first.\n", out)
	out, err = reencrypt(keyOf(2))
	require.NoError(t, err, "the old key is needed no more")
	require.Contains(t, out, "3 webhooks and 0 signing keys looked at, 0 encrypted anew")

	// One that was sealed with a key that is gone is named; the others are done.
	lost, kept := webhookUnder(t, url, keyOf(3)), webhookUnder(t, url, keyOf(1))
	for range 2 {
		out, err = reencrypt(keyOf(2) + "," + keyOf(1))
		require.EqualError(t, err, "1 secrets can't be read with any of the keys: remove none, add the one that is missing, or delete these webhooks and rotate these signing keys")
		require.Contains(t, out, "5 webhooks and 0 signing keys looked at")
		require.Contains(t, out, "1 not readable\n"+lost.ID.String()+" of "+hook.DefaultTenant().String()+": secret: open sealed value: its encryption key, whose SHA-256 begins with ")
		require.NotContains(t, out, kept.ID.String())
		require.NotContains(t, out, "The first key opens everything")
		require.NotContains(t, out+err.Error(), "geheim")
	}
	out, err = reencrypt(keyOf(2) + "," + keyOf(3))
	require.NoError(t, err)
	require.Contains(t, out, "1 encrypted anew")

	for _, args := range [][]string{{"--encryption-key=" + keyOf(1)}, {"--database-url=" + url}, {"--database-url=" + url, "--encryption-key=geheim"}} {
		out, err := grapnel(t, append([]string{"secrets", "reencrypt"}, args...)...)
		require.Error(t, err)
		require.NotContains(t, out+err.Error(), "geheim")
	}
	_, err = grapnel(t, "secrets", "reencrypt", "--database-url=postgres://grapnel:geheim@127.0.0.1:1/x", "--encryption-key="+keyOf(1))
	require.ErrorContains(t, err, "not finished, run it again")
	require.NotContains(t, err.Error(), "geheim")
}
