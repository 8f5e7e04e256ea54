package hook_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// valid returns a valid webhook, changed by the functions.
func valid(change ...func(*hook.Webhook)) hook.Webhook {
	w := hook.Webhook{
		URL: "https://example.com/hooks", Events: []string{"user.created"}, Secret: "whsec_abc123", Active: true,
	}
	w.Normalize()
	for _, c := range change {
		c(&w)
	}
	return w
}

// violations returns the locations of the values that Validate refuses.
func violations(t *testing.T, err error) []hook.Violation {
	t.Helper()
	if err == nil {
		return nil
	}
	var e *hook.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, hook.KindUnprocessable, e.Kind)
	require.NotEmpty(t, e.Violations)
	for _, v := range e.Violations {
		require.NotEmpty(t, v.Message)
	}
	return e.Violations
}

func locations(t *testing.T, err error) []string {
	t.Helper()
	var out []string
	for _, v := range violations(t, err) {
		out = append(out, v.Location)
	}
	return out
}

func urlProblem(url string) string {
	w := hook.Webhook{URL: url}
	return w.URLProblem()
}

// Spec 8: URLs are http or https, without userinfo, with any port.
func TestURLProblem(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"https://example.com", "http://example.com/", "https://example.com:8443/a/b?c=d&e=%20", "HTTPS://EXAMPLE.COM/",
		"http://127.0.0.1:1", "http://[::1]:65535/x", "https://xn--bcher-kva.example/", "https://bücher.example/é",
		"https://example.com/a%2Fb", "https://example.com?x=y", "https://example.com/@not-userinfo",
		"https://a/" + strings.Repeat("a", hook.MaxURLLength-len("https://a/")),
	} {
		require.Empty(t, urlProblem(good), good)
	}
	for name, bad := range map[string]string{
		"empty":                     "",
		"relative":                  "/hooks",
		"without a scheme":          "example.com/hooks",
		"scheme-relative":           "//example.com/hooks",
		"ftp":                       "ftp://example.com/",
		"file":                      "file:///etc/passwd",
		"javascript":                "javascript:alert(1)",
		"gopher":                    "gopher://example.com/",
		"opaque":                    "https:example.com",
		"no host":                   "https:///path",
		"no host but a port":        "https://:443/",
		"scheme alone":              "https://",
		"user":                      "https://user@example.com/",
		"user and password":         "https://user:pass@example.com/",
		"empty user":                "https://@example.com/",
		"host hidden behind a user": "https://example.com@127.0.0.1/",
		"fragment":                  "https://example.com/#x",
		"port 0":                    "https://example.com:0/",
		"port 0 with more zeros":    "https://example.com:00000/",
		"port of two zeros":         "https://example.com:00/",
		"port 65536":                "https://example.com:65536/",
		"port 99999":                "https://example.com:99999/",
		"port 655350":               "https://example.com:655350/",
		"port that wraps around":    "https://example.com:4294967739/",
		"empty port":                "https://example.com:/",
		"negative port":             "https://example.com:-1/",
		"port of letters":           "https://example.com:http/",
		"space":                     "https://example.com/a b",
		"space in the host":         "https://exa mple.com/",
		"space around":              " https://example.com/",
		"backslash":                 `https://example.com\@127.0.0.1/`,
		"line feed":                 "https://example.com/\n",
		"CR LF and a header":        "https://example.com/\r\nX-Evil: 1",
		"NUL":                       "https://example.com/\x00",
		"DEL":                       "https://example.com/\x7f",
		"C1 control character":      "https://example.com/\u0085",
		"invalid UTF-8":             "https://example.com/\xff",
		"broken escape in the host": "https://exa%zzmple.com/",
		"escaped NUL in the host":   "https://exa%00mple.com/",
		"unclosed IPv6":             "https://[::1/",
		"IPv6 without brackets":     "https://::1/",
		"empty label":               "https://a..b/",
		"only a dot":                "https://./",
		"label over 63":             "https://" + strings.Repeat("a", 64) + ".example/",
		"longer than 2048":          "https://a/" + strings.Repeat("a", hook.MaxURLLength-len("https://a/")+1),
	} {
		require.NotEmpty(t, urlProblem(bad), name)
	}
}

// S1, S4: everything wrong is reported at once, with its location in the request.
func TestValidateNamesEveryLocation(t *testing.T) {
	t.Parallel()
	w := valid()
	require.NoError(t, w.Validate())
	for name, test := range map[string]struct {
		change func(*hook.Webhook)
		want   []string
	}{
		"no url":           {func(w *hook.Webhook) { w.URL = "" }, []string{"body.url"}},
		"url":              {func(w *hook.Webhook) { w.URL = "ftp://x" }, []string{"body.url"}},
		"no events":        {func(w *hook.Webhook) { w.Events = nil }, []string{"body.events"}},
		"second and third": {func(w *hook.Webhook) { w.Events = []string{"a", "a b", "*.b", "c"} }, []string{"body.events[1]", "body.events[2]"}},
		"101 events": {func(w *hook.Webhook) {
			w.Events = nil
			for i := range 101 {
				w.Events = append(w.Events, fmt.Sprintf("a.%d", i))
			}
		}, []string{"body.events"}},
		"free-form events, on standard": {func(w *hook.Webhook) { w.Events = []string{"a topic"} }, []string{"body.events[0]"}},
		"free-form events, on commenda": {func(w *hook.Webhook) { w.Events, w.Profile = []string{"a topic"}, hook.ProfileCommenda }, nil},
		"topic, on commenda":            {func(w *hook.Webhook) { w.Events, w.Profile = []string{" "}, hook.ProfileCommenda }, []string{"body.events[0]"}},
		"no secret":                     {func(w *hook.Webhook) { w.Secret = "" }, []string{"body.secret"}},
		"long secret":                   {func(w *hook.Webhook) { w.Secret = hook.Secret(strings.Repeat("s", 257)) }, []string{"body.secret"}},
		"longest secret":                {func(w *hook.Webhook) { w.Secret = hook.Secret(strings.Repeat("s", 256)) }, nil},
		"secret with CR LF":             {func(w *hook.Webhook) { w.Secret = "a\r\nb" }, []string{"body.secret"}},
		"secret that is no UTF-8":       {func(w *hook.Webhook) { w.Secret = "\xff" }, []string{"body.secret"}},
		"long description":              {func(w *hook.Webhook) { w.Description = strings.Repeat("é", 1001) }, []string{"body.description"}},
		"longest description":           {func(w *hook.Webhook) { w.Description = strings.Repeat("é", 1000) }, nil},
		"description with an escape":    {func(w *hook.Webhook) { w.Description = "\x1b[2J" }, []string{"body.description"}},
		"timeout under 1 s":             {func(w *hook.Webhook) { w.Timeout = 999 * time.Millisecond }, []string{"body.timeout_seconds"}},
		"timeout of 1 s":                {func(w *hook.Webhook) { w.Timeout = time.Second }, nil},
		"timeout of 30 s":               {func(w *hook.Webhook) { w.Timeout = 30 * time.Second }, nil},
		"timeout over 30 s":             {func(w *hook.Webhook) { w.Timeout = 31 * time.Second }, []string{"body.timeout_seconds"}},
		"negative timeout":              {func(w *hook.Webhook) { w.Timeout = -time.Second }, []string{"body.timeout_seconds"}},
		"no attempts":                   {func(w *hook.Webhook) { w.MaxAttempts = -1 }, []string{"body.max_attempts"}},
		"six attempts":                  {func(w *hook.Webhook) { w.MaxAttempts = 6 }, []string{"body.max_attempts"}},
		"negative rate":                 {func(w *hook.Webhook) { w.RateLimit = -1 }, []string{"body.rate_limit"}},
		"rate over the bound":           {func(w *hook.Webhook) { w.RateLimit = 10_001 }, []string{"body.rate_limit"}},
		"momento": {func(w *hook.Webhook) {
			w.Profile, w.MaxAttempts, w.Timeout = hook.ProfileMomento, 1, 5*time.Second
		}, []string{"body.profile"}},
		"momento, six seconds": {func(w *hook.Webhook) {
			w.Profile, w.Cache, w.Name, w.MaxAttempts, w.Timeout = hook.ProfileMomento, "c", "n", 1, 6*time.Second
		}, []string{"body.timeout_seconds"}},
		"momento, five attempts": {
			func(w *hook.Webhook) {
				w.Profile, w.Cache, w.Name, w.Timeout = hook.ProfileMomento, "c", "n", 5*time.Second
			}, []string{"body.max_attempts"},
		},
		"all at once": {
			func(w *hook.Webhook) { *w = hook.Webhook{RateLimit: -1, Headers: map[string]hook.Secret{"Host": ""}} },
			[]string{"body.url", "body.events", "body.secret", "body.headers.Host", "body.timeout_seconds", "body.max_attempts", "body.rate_limit"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := valid(test.change)
			require.Equal(t, test.want, locations(t, w.Validate()))
		})
	}
}

// Spec 7: an error does not show a refused value that is secret or long.
func TestViolationsShowNoSecrets(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*hook.Webhook){
		"secret":                   func(w *hook.Webhook) { w.Secret = "geheim\n" },
		"header value":             func(w *hook.Webhook) { w.Headers = map[string]hook.Secret{"X-Key": "geheim\n"} },
		"password in url":          func(w *hook.Webhook) { w.URL = "https://user:geheim@example.com/" },
		"password in a broken url": func(w *hook.Webhook) { w.URL = "https://user:geheim@example.com:port/" },
		"long url":                 func(w *hook.Webhook) { w.URL = "https://" + strings.Repeat("geheim", 1000) },
		"long event":               func(w *hook.Webhook) { w.Events = []string{strings.Repeat("geheim", 1000)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := valid(change)
			err := w.Validate()
			for _, v := range violations(t, err) {
				require.NotContains(t, fmt.Sprint(v.Value), "geheim")
				require.NotContains(t, v.Message, "geheim")
			}
			require.NotContains(t, err.Error(), "geheim")
		})
	}
	w := valid(func(w *hook.Webhook) { w.URL = "ftp://example.com" })
	require.Equal(t, "ftp://example.com", violations(t, w.Validate())[0].Value, "what is neither is shown")
}

// S1: hop-by-hop, signature and content headers are refused, and so are headers that would break the request.
func TestCustomHeaders(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer",
		"Transfer-Encoding", "Upgrade", "HTTP2-Settings", "Host", "Expect", "Date", "User-Agent", "Accept-Encoding",
		"Content-Length", "Content-Type", "Content-Encoding",
		"X-Webhook-Signature", "X-Event-Type", "X-Webhook-Attempt", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature",
		"momento-signature", "Commenda-X-Secret",
		"", " ", "X Y", "X:", "X\r\nEvil", "X\n", "X\x00", "É", "X\xff", ":authority", "X(Y)", "X/Y", `X"`, strings.Repeat("X", 65),
	} {
		for _, spelled := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			w := valid(func(w *hook.Webhook) { w.Headers = map[string]hook.Secret{spelled: "v"} })
			found := locations(t, w.Validate())
			require.Len(t, found, 1, "%q", spelled)
			require.True(t, strings.HasPrefix(found[0], "body.headers."), found[0])
		}
	}
	for _, value := range []string{"a\r\nX-Evil: 1", "a\nb", "a\rb", "\x00", "a\tb", " a", "a ", "é", "\x7f", strings.Repeat("v", 1025)} {
		w := valid(func(w *hook.Webhook) { w.Headers = map[string]hook.Secret{"X-Key": hook.Secret(value)} })
		require.Equal(t, []string{"body.headers.X-Key"}, locations(t, w.Validate()), "%q", value)
	}
	w := valid(func(w *hook.Webhook) { w.Headers = map[string]hook.Secret{"X-Key": "1", "x-key": "2", "X-Other": "3"} })
	require.Equal(t, []string{"body.headers.x-key"}, locations(t, w.Validate()), "twice in two spellings")

	twenty := map[string]hook.Secret{}
	for i := range 20 {
		twenty[fmt.Sprintf("X-%d", i)] = "v"
	}
	twenty["X-0"] = ""
	twenty["X-1"] = hook.Secret(strings.Repeat("v", 1024))
	w = valid(func(w *hook.Webhook) { w.Headers = maps.Clone(twenty) })
	require.NoError(t, w.Validate())
	w.Headers["Authorization"] = "Bearer x"
	require.Equal(t, []string{"body.headers"}, locations(t, w.Validate()), "21 of them")
}

// S1: events keep the given order, without duplicates. Unset values get the profile's defaults.
func TestNormalize(t *testing.T) {
	t.Parallel()
	w := hook.Webhook{Events: []string{"b", "a", "b", "c", "a"}}
	w.Normalize()
	require.Equal(t, []string{"b", "a", "c"}, w.Events)
	require.Equal(t, hook.ProfileStandard, w.Profile)
	require.Equal(t, 5, w.MaxAttempts)
	require.Equal(t, hook.HealthHealthy, w.Health)

	for profile, timeout := range map[hook.Profile]time.Duration{
		hook.ProfileStandard: 15 * time.Second, hook.ProfileMomento: 5 * time.Second, hook.ProfileCommenda: 10 * time.Second,
	} {
		w := hook.Webhook{Profile: profile}
		w.Normalize()
		require.Equal(t, timeout, w.Timeout, "spec 1: %s", profile)
	}
	given := valid(func(w *hook.Webhook) {
		w.Profile, w.Timeout, w.MaxAttempts, w.Health = hook.ProfileCommenda, 7*time.Second, 2, hook.HealthFailed
	})
	again := given
	again.Events = slices.Clone(given.Events)
	again.Normalize()
	require.Equal(t, given, again, "what is given stays")
}

// S3: the status is healthy, failing, failed or disabled, with the reason.
func TestStatus(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		w              hook.Webhook
		status, reason string
	}{
		{hook.Webhook{Active: true, Health: hook.HealthHealthy}, "healthy", ""},
		{hook.Webhook{Active: true, Health: hook.HealthFailing}, "failing", ""},
		{hook.Webhook{Active: true, Health: hook.HealthFailed}, "failed", "a delivery failed for good"},
		{hook.Webhook{Health: hook.HealthHealthy, DisabledReason: "gone"}, "disabled", "gone"},
		{hook.Webhook{Health: hook.HealthFailed, DisabledReason: "failing for 5 days"}, "disabled", "failing for 5 days"},
	} {
		require.Equal(t, test.status, test.w.Status())
		require.Equal(t, test.reason, test.w.StatusReason())
	}
}

func TestHost(t *testing.T) {
	t.Parallel()
	for raw, host := range map[string]string{
		"https://example.com/x": "example.com", "http://[::1]:8080": "[::1]:8080", "https://\x00": "",
	} {
		w := hook.Webhook{URL: raw}
		require.Equal(t, host, w.Host())
	}
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	require.Equal(t, hook.KindNotFound, hook.KindOf(fmt.Errorf("read: %w", hook.NotFound("webhook"))))
	require.Equal(t, hook.KindInternal, hook.KindOf(errors.New("not_found")))
	cause := errors.New("dial tcp")
	err := hook.Unavailable("the store", cause)
	require.Equal(t, hook.KindUnavailable, hook.KindOf(err))
	require.ErrorIs(t, err, cause)
	require.NotContains(t, err.Message, "dial")
	require.Positive(t, err.RetryAfter)
	require.Equal(t, []hook.Violation{{Location: "body.type", Message: "did you mean a?"}}, hook.Unprocessable("body.type", "did you mean %s?", "a").Violations)
}
