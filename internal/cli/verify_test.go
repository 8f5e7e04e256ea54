package cli

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/signing"
)

const (
	secret  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	payload = `{"id":"evt_1","data":{"text":"é😀"}}`
)

// saved returns a signed request of a profile, in the form that a tool might save.
func saved(p hook.Profile, signedAt time.Time, lineBreak string) string {
	h := http.Header{}
	switch p {
	case hook.ProfileStandard:
		signing.StandardHeaders(h, signing.StandardKeys{Secret: secret, V1: []string{secret}}, "evt_1", signedAt.Unix(), []byte(payload))
	case hook.ProfileMomento:
		signing.MomentoHeaders(h, secret, []byte(payload))
	case hook.ProfileCommenda:
		signing.CommendaHeaders(h, secret, []byte(payload))
	}
	lines := []string{"POST /webhook?x=1 HTTP/1.1", "Host: yourapp.com"}
	for name, values := range h {
		lines = append(lines, name+": "+values[0])
	}
	return strings.Join(append(lines, "", payload), lineBreak)
}

func TestVerify(t *testing.T) {
	t.Parallel()
	for _, p := range []hook.Profile{hook.ProfileStandard, hook.ProfileMomento, hook.ProfileCommenda} {
		for _, lineBreak := range []string{"\n", "\r\n"} {
			text := saved(p, time.Now().Add(-time.Hour), lineBreak)
			r := command(t, text, "verify", "--secret="+secret)
			require.NoError(t, r.failed, text)
			require.Contains(t, r.out, string(p))
			require.NotContains(t, r.out, "does not fit")
			r = command(t, text, "verify", "--secret="+secret, "--profile="+string(p))
			require.NoError(t, r.failed)
			// Without its first line, and with the line break that an editor adds to a body of known length.
			_, headers, _ := strings.Cut(text, lineBreak)
			headers = fmt.Sprintf("Content-Length: %d%s%s%s", len(payload), lineBreak, headers, lineBreak)
			require.NoError(t, command(t, headers, "verify", "--secret="+secret).failed, headers)

			for _, wrong := range []ran{
				command(t, text+" ", "verify", "--secret="+secret),
				command(t, text, "verify", "--secret="+secret+"x"),
			} {
				require.Equal(t, 6, wrong.code())
				require.Contains(t, wrong.out, "does not fit")
			}
		}
	}
}

func TestVerifyLooksForTheProfileThatIsNamed(t *testing.T) {
	t.Parallel()
	r := command(t, saved(hook.ProfileMomento, time.Now(), "\n"), "verify", "--secret="+secret, "--profile=commenda")
	require.Equal(t, 6, r.code())
	require.EqualError(t, r.failed, "the request has no signature of the profile commenda")
	r = command(t, "POST / HTTP/1.1\nHost: x\n\n{}", "verify", "--secret="+secret)
	require.Equal(t, 6, r.code())
	require.EqualError(t, r.failed, "the request has no signature")
}

// One invalid signature of two is enough to fail.
func TestVerifyHoldsAllSignaturesAgainstTheSecret(t *testing.T) {
	t.Parallel()
	text := saved(hook.ProfileStandard, time.Now(), "\n")
	for _, header := range []string{"X-Webhook-Signature: ", "webhook-signature: v1,"} {
		r := command(t, strings.Replace(text, "\n"+header, "\n"+header+"0", 1), "verify", "--secret="+secret)
		require.Equal(t, 6, r.code(), header)
		require.Equal(t, 1, strings.Count(r.out, "does not fit"), r.out)
	}
	// In the overlap after a rotation there are two Standard Webhooks signatures.
	r := command(t, strings.Replace(text, "\nwebhook-signature: ", "\nwebhook-signature: v1,AAAA v1a,BBBB ", 1), "verify", "--secret="+secret)
	require.NoError(t, r.failed)
}

func TestVerifyTolerance(t *testing.T) {
	t.Parallel()
	text := saved(hook.ProfileStandard, time.Now().Add(-time.Hour), "\n")
	require.NoError(t, command(t, text, "verify", "--secret="+secret, "--tolerance=2h").failed)
	r := command(t, text, "verify", "--secret="+secret, "--tolerance=5m")
	require.Equal(t, 6, r.code())
	require.ErrorContains(t, r.failed, "differs by more than 5m0s")
}

func TestVerifyTellsBrokenRequests(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                 "has no empty line",
		"POST / HTTP/1.1\nHost: x":         "has no empty line",
		"no header\n\n":                    "headers cannot be parsed",
		"Content-Length: 9\n\n{}":          "has 2 bytes",
		"Content-Length: many\n\n{}":       "many",
		"POST / HTTP/1.1\n: nothing\n\n{}": "headers cannot be parsed",
	} {
		r := command(t, text, "verify", "--secret=x")
		require.ErrorContains(t, r.failed, want, "%q", text)
		require.Equal(t, 2, r.code())
	}
}

func TestVerifyChunked(t *testing.T) {
	t.Parallel()
	text := strings.Replace(saved(hook.ProfileStandard, time.Now(), "\r\n"), "Host: ", "Transfer-Encoding: chunked\r\nHost: ", 1)
	require.NoError(t, command(t, text, "verify", "--secret="+secret).failed, "put together already")
	head, body, _ := strings.Cut(text, "\r\n\r\n")
	chunks := fmt.Sprintf("%s\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", head, 5, body[:5], len(body)-5, body[5:])
	require.NoError(t, command(t, chunks, "verify", "--secret="+secret).failed)
}
