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

// keyOf returns an encryption key of 32 equal bytes.
func keyOf(b byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, secrets.KeySize))
}

// webhookUnder stores a webhook whose secret is sealed with the first key of keys.
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

// Spec 7: an operator rotates the encryption key.
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
	require.Equal(t, "3 webhooks and 0 signing keys checked, 3 encrypted with the first key, 0 not readable\n"+
		"The first key opens everything. Remove the other keys when every process runs with this key first.\n", out)
	out, err = reencrypt(keyOf(2))
	require.NoError(t, err, "the old key is no longer needed")
	require.Contains(t, out, "3 webhooks and 0 signing keys checked, 0 encrypted")

	// A secret that was sealed with a missing key is named; the others are encrypted.
	lost, kept := webhookUnder(t, url, keyOf(3)), webhookUnder(t, url, keyOf(1))
	for range 2 {
		out, err = reencrypt(keyOf(2) + "," + keyOf(1))
		require.EqualError(t, err, "no key opens 1 secrets: keep all keys; add the missing key, or delete these webhooks and rotate these signing keys")
		require.Contains(t, out, "5 webhooks and 0 signing keys checked")
		require.Contains(t, out, "1 not readable\n"+lost.ID.String()+" of "+hook.DefaultTenant().String()+": secret: open sealed value: its encryption key, whose SHA-256 begins with ")
		require.NotContains(t, out, kept.ID.String())
		require.NotContains(t, out, "The first key opens everything")
		require.NotContains(t, out+err.Error(), "geheim")
	}
	out, err = reencrypt(keyOf(2) + "," + keyOf(3))
	require.NoError(t, err)
	require.Contains(t, out, "1 encrypted with the first key")

	for _, args := range [][]string{{"--encryption-key=" + keyOf(1)}, {"--database-url=" + url}, {"--database-url=" + url, "--encryption-key=geheim"}} {
		out, err := grapnel(t, append([]string{"secrets", "reencrypt"}, args...)...)
		require.Error(t, err)
		require.NotContains(t, out+err.Error(), "geheim")
	}
	_, err = grapnel(t, "secrets", "reencrypt", "--database-url=postgres://grapnel:geheim@127.0.0.1:1/x", "--encryption-key="+keyOf(1))
	require.ErrorContains(t, err, "not finished, run it again")
	require.NotContains(t, err.Error(), "geheim")
}
