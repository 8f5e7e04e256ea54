package payload_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"grapnel/internal/hook"
	"grapnel/internal/payload"
)

// Header names are sent as the client, the published systems and Standard Webhooks spell them.
func TestHeaderNamesKeepTheirCase(t *testing.T) {
	t.Parallel()
	custom := map[string]hook.Secret{"X-API-KEY": "1", "x-tenant": "2", "soapAction": "3", "WEBHOOK-ID": "4", "content-TYPE": "5"}
	for p, ours := range map[hook.Profile][]string{
		hook.ProfileStandard: {
			"Content-Type", "X-Event-Type", "X-Webhook-Attempt", "X-Webhook-Signature", "traceparent", hook.HopsHeader, "webhook-id", "webhook-signature", "webhook-timestamp",
		},
		hook.ProfileMomento:  {"Content-Type", "User-Agent", "WEBHOOK-ID", "momento-signature"},
		hook.ProfileCommenda: {"Commenda-X-Secret", "Content-Type", "WEBHOOK-ID"},
	} {
		job := setup(t, p)
		job.Webhook.Secret, job.TraceParent, job.Webhook.Headers = standardID, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", custom
		r := payload.Request(job, time.Now())
		want := append(ours, "X-API-KEY", "x-tenant", "soapAction") //nolint:gocritic // a list of its own
		require.ElementsMatch(t, want, slices.Collect(maps.Keys(r.Header)), p)
		require.Len(t, received(r), len(want), "none is there twice")
		require.Equal(t, []string{"application/json"}, r.Header.Values("Content-Type"))
		shown := payload.RedactHeaders(job.Webhook, r.Header)
		require.ElementsMatch(t, want, slices.Collect(maps.Keys(shown)))
	}
}

// X-Event-Type is ASCII, and its percent-decoding is the type.
func TestEventTypeHeaderIsASCII(t *testing.T) {
	t.Parallel()
	of := func(eventType string) string {
		job := setup(t, hook.ProfileStandard)
		job.Event.Type = eventType
		return payload.Request(job, time.Now()).Header.Get("X-Event-Type")
	}
	for eventType, want := range map[string]string{
		"user.created":  "user.created",
		"заказ.создан":  "%D0%B7%D0%B0%D0%BA%D0%B0%D0%B7.%D1%81%D0%BE%D0%B7%D0%B4%D0%B0%D0%BD",
		"REG/A_b-c~'()": "REG/A_b-c~'()",
		"two words":     "two words",
		"100%":          "100%25",
		"%41":           "%2541",
		"a\u00a0":       "a%C2%A0",
		"😀":             "%F0%9F%98%80",
	} {
		require.Equal(t, want, of(eventType))
	}
	rapid.Check(t, func(t *rapid.T) {
		eventType := rapid.StringMatching(`[ -~é😀\x{2028}\x{7f}-\x{a0}]{1,40}`).Draw(t, "type")
		value := of(eventType)
		require.Regexp(t, `^[!-~]([ -~]*[!-~])?$`, value)
		require.Equal(t, value, strings.TrimSpace(value))
		decoded, err := url.PathUnescape(value)
		require.NoError(t, err)
		require.Equal(t, eventType, decoded)
		require.NotEmpty(t, http.Header{"X-Event-Type": {value}}.Get("X-Event-Type"))
	})
}
