package explain_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/explain"
	"grapnel/internal/hook"
)

// declaredClasses returns the values of the constants of type ErrorClass, from the source.
func declaredClasses(t *testing.T) (list []hook.ErrorClass) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../hook/attempt.go", nil, 0)
	require.NoError(t, err)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); ok && name.Name == "ErrorClass" {
			literal, ok := spec.Values[0].(*ast.BasicLit)
			require.True(t, ok)
			value, err := strconv.Unquote(literal.Value)
			require.NoError(t, err)
			list = append(list, hook.ErrorClass(value))
		}
		return true
	})
	return list
}

// good checks the form of an explanation.
func good(t *testing.T, e *explain.Explanation, of string) {
	t.Helper()
	require.NotNil(t, e, of)
	for _, text := range []string{e.Summary, e.NextStep} {
		require.Greater(t, len(text), 20, of)
		require.Less(t, len(text), 300, of)
		require.True(t, strings.HasSuffix(text, "."), "%s: %s", of, text)
		require.NotContains(t, text, "..", of)
		require.NotContains(t, text, "  ", of)
		require.NotContains(t, text, "%!", of)
	}
}

const general = "a reason that has no class of its own"

// A4: every class of failure has an explanation of its own, by the attempt and by the text that a delivery is stored
// with.
func TestEveryClassIsExplained(t *testing.T) {
	t.Parallel()
	classes := declaredClasses(t)
	require.Contains(t, classes, hook.ClassTLS)
	require.ElementsMatch(t, append(hook.ErrorClasses(), hook.ClassNone), classes, "hook.ErrorClasses lists them all")
	texts := map[hook.ErrorClass]string{hook.ClassStatus: "HTTP 500 Internal Server Error", hook.ClassRedirect: "HTTP 302 Found"}
	for text, class := range hook.ErrorTexts() {
		texts[class] = text
	}
	seen := map[string]hook.ErrorClass{}
	for _, class := range classes {
		if class == hook.ClassNone {
			require.Nil(t, explain.Attempt(&hook.Attempt{StatusCode: 200}))
			continue
		}
		status := map[hook.ErrorClass]int{hook.ClassStatus: 500, hook.ClassRedirect: 302}[class]
		require.NotEmpty(t, texts[class], "the class %s has a text", class)
		e := explain.Attempt(&hook.Attempt{Class: class, StatusCode: status, Error: texts[class]})
		good(t, e, string(class))
		require.NotContains(t, seen, e.Summary, class)
		seen[e.Summary] = class
		require.Equal(t, class == hook.ClassOther, strings.Contains(e.Summary, general), class)

		d := explain.Delivery(&hook.Delivery{State: hook.StateFailed, Error: texts[class]}, nil)
		require.Equal(t, e, d, "by the text %q", texts[class])
	}
}

// A4: every status is explained; the ones that receivers often answer have words of their own.
func TestEveryStatusIsExplained(t *testing.T) {
	t.Parallel()
	for status := 100; status < 1000; status++ {
		class, text := hook.StatusFailure(status)
		if class == hook.ClassNone {
			continue
		}
		e := explain.Attempt(&hook.Attempt{Class: class, StatusCode: status, Error: text})
		good(t, e, text)
		require.Contains(t, e.Summary, strconv.Itoa(status), "it names the status")
		require.Equal(t, e, explain.Delivery(&hook.Delivery{State: hook.StateFailed, StatusCode: 200, Error: text}, nil),
			"the text decides, not the last status of any attempt")
	}
	for status, want := range map[int]string{
		401: "refuses our request", 403: "does not allow", 404: "nothing at the URL's path", 405: "POST", 410: "disables",
		413: "too large for it", 429: "more requests than it accepts", 500: "within the receiver", 502: "proxy", 503: "overloaded", 504: "too long",
	} {
		class, text := hook.StatusFailure(status)
		require.Contains(t, explain.Attempt(&hook.Attempt{Class: class, StatusCode: status, Error: text}).Summary, want)
	}
}

func TestDetails(t *testing.T) {
	t.Parallel()
	tls := func(cause string) hook.Attempt { return hook.Attempt{Class: hook.ClassTLS, Error: cause} }
	timeout := func(timings hook.Timings, remote string) hook.Attempt {
		return hook.Attempt{Class: hook.ClassTimeout, Error: hook.TextTimeout, Duration: 15002 * time.Millisecond, Timings: timings, RemoteAddr: remote}
	}
	const s = time.Second
	for name, c := range map[string]struct {
		attempt hook.Attempt
		want    string
	}{
		"expired":              {tls(hook.TextCertificate + ": certificate has expired (2026-11-01)"), "has expired on 2026-11-01."},
		"expired, no date":     {tls(hook.TextCertificate + ": certificate has expired"), "has expired."},
		"not yet":              {tls(hook.TextCertificate + ": certificate is not valid yet (2027-01-01)"), "only from 2027-01-01."},
		"another name":         {tls(hook.TextCertificate + ": certificate is not valid for a.test"), "not valid for a.test"},
		"unknown authority":    {tls(hook.TextCertificate + ": certificate is signed by an unknown authority"), "intermediate"},
		"another problem":      {tls(hook.TextCertificate + ": certificate chain is too long"), "receiver's certificate chain is too long."},
		"old TLS":              {tls(hook.TextHandshake + ": protocol version not supported"), "no version of TLS that is still secure"},
		"plain HTTP":           {tls(hook.TextHandshake + ": the port speaks plain HTTP"), "begins with https"},
		"client certificate":   {tls(hook.TextHandshake + ": the receiver asks for a client certificate"), "webhooks have none"},
		"another alert":        {tls(hook.TextHandshake + ": handshake failure"), "failed: handshake failure."},
		"not HTTP":             {hook.Attempt{Class: hook.ClassProtocol, Error: hook.TextProtocol + ": too many informational answers"}, "HTTP: too many informational answers."},
		"time-out of DNS":      {timeout(hook.Timings{DNS: 15 * s}, ""), "not resolved within 15 s"},
		"time-out of connect":  {timeout(hook.Timings{DNS: s / 10, Connect: 14900 * time.Millisecond}, "203.0.113.7:443"), "accepted no connection within 15 s"},
		"time-out of TLS":      {timeout(hook.Timings{DNS: s, Connect: s, TLS: 13 * s}, "203.0.113.7:443"), "handshake with the receiver did not end"},
		"time-out of answer":   {timeout(hook.Timings{DNS: s, Connect: s, TLS: s}, "203.0.113.7:443"), "did not answer within 15 s"},
		"time-out, kept":       {timeout(hook.Timings{}, "203.0.113.7:443"), "did not answer within 15 s"},
		"time-out, unknown":    {timeout(hook.Timings{}, ""), "no answer within 15 s"},
		"time-out, no details": {hook.Attempt{Class: hook.ClassTimeout, Error: hook.TextTimeout}, "no answer within the webhook's time-out."},
		"413 with its size": {hook.Attempt{
			Class: hook.ClassStatus, StatusCode: 413, Error: "HTTP 413 Request Entity Too Large", RequestHeaders: http.Header{"Content-Length": {"70312"}},
		}, "the body of 70312 bytes is too large for it"},
		"429 with a pause": {hook.Attempt{
			Class: hook.ClassStatus, StatusCode: 429, Error: "HTTP 429 Too Many Requests", ResponseHeaders: http.Header{"Retry-After": {"30"}},
		}, "pause of 30 s"},
		"503 with a strange pause": {hook.Attempt{
			Class: hook.ClassStatus, StatusCode: 503, Error: "HTTP 503 Service Unavailable", ResponseHeaders: http.Header{"Retry-After": {"<script>"}},
		}, "overloaded or under maintenance."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := explain.Attempt(&c.attempt)
			good(t, e, name)
			require.Contains(t, e.Summary, c.want)
		})
	}
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	require.Nil(t, explain.Delivery(&hook.Delivery{State: hook.StateSuccess}, nil))
	require.Nil(t, explain.Delivery(&hook.Delivery{State: hook.StatePending}, nil))
	for _, text := range []string{
		hook.TextWebhookDisabled, hook.TextWebhookDeleted, hook.TextSecretUnavailable, hook.TextDropped, hook.TextUnavailable,
		hook.TextReplayCanceled, hook.TextTestLost,
	} {
		e := explain.Delivery(&hook.Delivery{State: hook.StateCanceled, Error: text}, nil)
		good(t, e, text)
		require.NotContains(t, e.Summary, general, text)
	}
	last := hook.Attempt{Class: hook.ClassTimeout, Error: hook.TextTimeout, Duration: 5 * time.Second, RemoteAddr: "203.0.113.7:443"}
	e := explain.Delivery(&hook.Delivery{State: hook.StateFailed, Error: hook.TextTimeout}, &last)
	require.Equal(t, explain.Attempt(&last), e, "the attempt is known better")
	canceled := explain.Delivery(&hook.Delivery{State: hook.StateCanceled, Error: hook.TextWebhookDeleted}, &last)
	require.Contains(t, canceled.Summary, "deleted", "the attempt is not why it ended")
	good(t, explain.Delivery(&hook.Delivery{State: hook.StateFailed, Error: "of another version"}, nil), "unknown")
}

// No explanation repeats a header, a body, an address or the URL.
func TestNothingIsRevealed(t *testing.T) {
	t.Parallel()
	for _, class := range hook.ErrorClasses() {
		for _, status := range []int{0, 302, 401, 413, 429, 503} {
			e := explain.Attempt(&hook.Attempt{
				Class: class, StatusCode: status, Error: "geheim", URL: "https://geheim.test/geheim", RemoteAddr: "10.1.2.3:443", Duration: time.Second,
				RequestHeaders: http.Header{"Authorization": {"geheim"}}, ResponseHeaders: http.Header{"Retry-After": {"geheim"}, "Location": {"geheim"}},
				ResponseBody: []byte("geheim"),
			})
			require.NotContains(t, fmt.Sprint(*e), "geheim", class)
			require.NotContains(t, fmt.Sprint(*e), "10.1.2.3", class)
		}
	}
}
