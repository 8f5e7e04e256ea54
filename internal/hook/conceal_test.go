package hook_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// A tenant that makes webhooks does not learn which names the internal name server knows.
func TestConceal(t *testing.T) {
	t.Parallel()
	attempt := func(url string, class hook.ErrorClass) hook.Attempt {
		a := hook.Attempt{URL: url, Class: class, Error: "as it was", RemoteAddr: "10.0.0.1:80", Timings: hook.Timings{DNS: time.Millisecond}}
		a.Conceal()
		return a
	}
	const inside, nowhere = "http://postgres.internal:5432/", "http://nobody.internal:5432/"
	exists, missing := attempt(inside, hook.ClassBlocked), attempt(nowhere, hook.ClassDNS)
	exists.URL, missing.URL = "", ""
	require.Equal(t, hook.Attempt{Class: hook.ClassDNS, Error: "DNS lookup failed"}, exists)
	require.Equal(t, exists, missing)
	literal := hook.Attempt{URL: "http://10.0.0.1/", Class: hook.ClassBlocked, Error: "Blocked destination"}
	literal.Conceal()
	require.Equal(t, hook.ClassBlocked, literal.Class, "nothing was looked up")
	for _, url := range []string{"http://localhost/", "http://API.localhost.:80/"} {
		require.Equal(t, hook.ClassBlocked, attempt(url, hook.ClassBlocked).Class, url)
		require.Equal(t, "as it was", attempt(url, hook.ClassBlocked).Error, url)
	}
	require.Equal(t, hook.ClassTimeout, attempt(inside, hook.ClassTimeout).Class)
	require.Equal(t, "10.0.0.1:80", attempt(inside, hook.ClassRefused).RemoteAddr)
}
