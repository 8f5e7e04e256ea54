package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// An operator rotates a tenant's key and sees which keys sign.
func TestSigningKeys(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	at, key := "--database-url="+url, "--encryption-key="+keyOf(1)
	header := []string{"ID", "PUBLIC", "KEY", "CREATED", "SIGNS"}
	require.Equal(t, header, strings.Fields(succeed(t, "signing-keys", "list", at)))
	require.Regexp(t, `^ID .*\n[A-Za-z0-9_-]{43}  whpk_[A-Za-z0-9+/]{43}=  \S+Z  on\n$`, succeed(t, "signing-keys", "rotate", at, key))
	out := succeed(t, "signing-keys", "rotate", at, key, "--overlap=1h")
	require.Regexp(t, `^ID .*\n.* on\n.* until \S+Z\n$`, out)
	require.Equal(t, out, succeed(t, "signing-keys", "list", at))
	require.NotContains(t, out, "whsk_")
	require.Regexp(t, `^ID .*\n.* on\n$`, succeed(t, "signing-keys", "rotate", at, key, "--overlap=0"))

	out, err := grapnel(t, "secrets", "reencrypt", at, "--encryption-key="+keyOf(2)+","+keyOf(1))
	require.NoError(t, err)
	require.Contains(t, out, "0 webhooks and 1 signing keys checked, 1 encrypted")
	out, err = grapnel(t, "secrets", "reencrypt", at, "--encryption-key="+keyOf(3))
	require.ErrorContains(t, err, "no key opens 1 secrets")
	require.Contains(t, out, strings.Fields(succeed(t, "signing-keys", "list", at))[5]+" of ", "the key is named by its id")

	for _, args := range [][]string{
		{"rotate", at},
		{"rotate", at, key, "--overlap=169h"},
		{"rotate", at, key, "--overlap=-1s"},
		{"rotate", at, key, "--tenant=nobody"},
		{"list", at, "--tenant=nobody"},
	} {
		_, err := grapnel(t, append([]string{"signing-keys"}, args...)...)
		require.Error(t, err, "%v", args)
	}
}
