package hook_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// Spec 7: scopes admin, webhooks, publish, read; admin includes the others.
func TestAPIKeyAllows(t *testing.T) {
	t.Parallel()
	for _, has := range hook.Scopes() {
		k := hook.APIKey{Scopes: []hook.Scope{has}}
		for _, wants := range hook.Scopes() {
			require.Equal(t, has == wants || has == hook.ScopeAdmin, k.Allows(wants), "%s for %s", has, wants)
		}
		require.Equal(t, has != hook.ScopePublish && has != hook.ScopeSubscribe, k.Allows(hook.ScopeRead, hook.ScopeWebhooks))
	}
	none := hook.APIKey{}
	require.False(t, none.Allows(hook.ScopeRead))
}

// Spec 7: a key's list of topics or types limits what it may publish.
func TestAPIKeyAllowsType(t *testing.T) {
	t.Parallel()
	all, some := hook.APIKey{}, hook.APIKey{Topics: []string{"user.*", "a topic"}}
	require.True(t, all.AllowsType("anything"))
	require.True(t, some.AllowsType("user.created"))
	require.True(t, some.AllowsType("a topic"))
	require.False(t, some.AllowsType("payment.failed"))
	require.False(t, some.AllowsType("user"))
}

// A limited key may read only the events of its topics, and so may have only these sent elsewhere.
func TestAPIKeyCovers(t *testing.T) {
	t.Parallel()
	all, some := hook.APIKey{}, hook.APIKey{Topics: []string{"user.*", "file.uploaded", "webhook.disabled"}}
	for pattern, covered := range map[string]bool{
		"user.created": true, "user.*": true, "user.a.*": true, "file.uploaded": true, "webhook.disabled": true,
		"*": false, "file.*": false, "us.*": false, "user": false, "users.created": false, "webhook.*": false, "delivery.failed": false,
	} {
		require.Equal(t, covered, some.CoversPattern(pattern), pattern)
		require.True(t, all.CoversPattern(pattern), pattern)
		if covered {
			continue
		}
		require.False(t, some.Covers(&hook.Webhook{Profile: hook.ProfileStandard, Events: []string{"user.created", pattern}}), pattern)
	}
	star := hook.APIKey{Topics: []string{"*"}}
	require.True(t, star.CoversPattern("*"))
	require.False(t, star.CoversPattern("webhook.disabled"), "a pattern does not match it")
	require.True(t, some.Covers(&hook.Webhook{Profile: hook.ProfileCommenda, Events: []string{"user.created"}}))
	require.False(t, some.Covers(&hook.Webhook{Profile: hook.ProfileCommenda, Events: []string{"*"}}))

	chat := hook.APIKey{Caches: []string{"chat"}}
	require.True(t, chat.AllowsTopic("chat", "any"))
	require.False(t, chat.AllowsTopic("other", "any"))
	require.False(t, chat.AllowsType("user.created"), "it is in no cache")
	require.True(t, chat.Covers(&hook.Webhook{Profile: hook.ProfileMomento, Cache: "chat", Events: []string{"any"}}))
	require.False(t, chat.Covers(&hook.Webhook{Profile: hook.ProfileStandard, Events: []string{"user.created"}}))
}

func TestAPIKeyValidate(t *testing.T) {
	t.Parallel()
	now := time.Now()
	soon, past := now.Add(time.Second), now.Add(-time.Second)
	// In UTC it is the year 10000, which RFC 3339 can't express.
	far := time.Date(9999, 12, 31, 23, 30, 0, 0, time.FixedZone("", -3600))
	good := func() hook.APIKey {
		return hook.APIKey{
			Name: "ci", Scopes: []hook.Scope{hook.ScopePublish}, TokenID: "t", Topics: []string{"user.*", "a topic"}, ExpiresAt: &soon,
		}
	}
	k := good()
	require.NoError(t, k.Validate(now))
	for name, test := range map[string]struct {
		change func(*hook.APIKey)
		want   string
	}{
		"no name":              {func(k *hook.APIKey) { k.Name = "" }, "body.name"},
		"long name":            {func(k *hook.APIKey) { k.Name = strings.Repeat("n", 101) }, "body.name"},
		"name with a newline":  {func(k *hook.APIKey) { k.Name = "a\nb" }, "body.name"},
		"no scopes":            {func(k *hook.APIKey) { k.Scopes = nil }, "body.scopes"},
		"unknown scope":        {func(k *hook.APIKey) { k.Scopes = append(k.Scopes, "root") }, "body.scopes[1]"},
		"long token_id":        {func(k *hook.APIKey) { k.TokenID = strings.Repeat("t", 257) }, "body.token_id"},
		"token_id with NUL":    {func(k *hook.APIKey) { k.TokenID = "\x00" }, "body.token_id"},
		"empty topic":          {func(k *hook.APIKey) { k.Topics = []string{"a", ""} }, "body.topics[1]"},
		"expired":              {func(k *hook.APIKey) { k.ExpiresAt = &past }, "body.expires_at"},
		"expires after 9999":   {func(k *hook.APIKey) { k.ExpiresAt = &far }, "body.expires_at"},
		"expires this instant": {func(k *hook.APIKey) { k.ExpiresAt = &now }, "body.expires_at"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := good()
			test.change(&k)
			require.Equal(t, []string{test.want}, locations(t, k.Validate(now)))
		})
	}
}
