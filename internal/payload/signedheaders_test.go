package payload_test

import (
	"crypto/ed25519"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/payload"
	"grapnel/internal/signing"
)

// Spec 1: the headers of each profile, and no other headers of Grapnel's.
func TestHeaders(t *testing.T) {
	t.Parallel()
	at := time.Unix(1614265330, 0)
	names := func(h http.Header) []string { return slices.Sorted(maps.Keys(h)) }

	t.Run("standard with a secret of the client's", func(t *testing.T) {
		t.Parallel()
		r := payload.Request(setup(t, hook.ProfileStandard), at)
		require.Equal(t, []string{"Content-Type", "X-Event-Type", "X-Webhook-Attempt", "X-Webhook-Signature", hook.HopsHeader, "webhook-id", "webhook-timestamp"}, names(r.Header))
		require.Equal(t, []string{"application/json"}, r.Header.Values("Content-Type"))
		require.Equal(t, []string{"user.created"}, r.Header.Values("X-Event-Type"))
		require.Equal(t, []string{"1"}, r.Header.Values("X-Webhook-Attempt"))
		require.Equal(t, "1614265330", received(r).Get("Webhook-Timestamp"))
		require.Equal(t, []string{signing.HexSHA256("whsec_abc123", r.Body)}, r.Header.Values("X-Webhook-Signature"))
	})
	t.Run("momento", func(t *testing.T) {
		t.Parallel()
		r := payload.Request(setup(t, hook.ProfileMomento), at)
		require.Equal(t, []string{"Content-Type", "User-Agent", "momento-signature"}, names(r.Header), "in lower case")
		require.Equal(t, []string{signing.HexSHA3("whsec_abc123", r.Body)}, map[string][]string(r.Header)[momentoSignature])
		require.Equal(t, "Momento/1.0 (Webhooks; +https://docs.momentohq.com/topics/webhooks)", r.Header.Get("User-Agent"))
	})
	t.Run("standard with a Standard Webhooks secret", func(t *testing.T) {
		t.Parallel()
		job := setup(t, hook.ProfileStandard)
		job.Webhook.Secret = standardID
		r := payload.Request(job, at)
		require.Equal(t, []string{
			"Content-Type", "X-Event-Type", "X-Webhook-Attempt", "X-Webhook-Signature", hook.HopsHeader, "webhook-id", "webhook-signature", "webhook-timestamp",
		}, names(r.Header))
		require.Equal(t, job.Event.ID.String(), received(r).Get("Webhook-Id"))
		require.Equal(t, "1614265330", received(r).Get("Webhook-Timestamp"))
		receiver, err := standardwebhooks.NewWebhook(standardID)
		require.NoError(t, err)
		require.NoError(t, receiver.VerifyIgnoringTimestamp(r.Body, received(r)), "as any of its libraries does")
	})
	t.Run("standard in an overlap (S6)", func(t *testing.T) {
		t.Parallel()
		const older = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
		job := setup(t, hook.ProfileStandard)
		job.Webhook.Secret = standardID
		job.Webhook.Previous = []hook.PreviousSecret{{Secret: older, Until: at.Add(time.Second)}}
		r := payload.Request(job, at)
		require.Equal(t, []string{signing.HexSHA256(standardID, r.Body)}, r.Header.Values("X-Webhook-Signature"), "one value, the new one's")
		require.Len(t, strings.Split(received(r).Get("Webhook-Signature"), " "), 2)
		for _, secret := range []string{standardID, older} {
			receiver, err := standardwebhooks.NewWebhook(secret)
			require.NoError(t, err)
			require.NoError(t, receiver.VerifyIgnoringTimestamp(r.Body, received(r)))
		}
		after := payload.Request(job, at.Add(time.Second))
		require.NotContains(t, received(after).Get("Webhook-Signature"), " ", "decided when it is sent")
	})
	t.Run("standard with v1a", func(t *testing.T) {
		t.Parallel()
		private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
		job := setup(t, hook.ProfileStandard)
		job.SigningKeys = []ed25519.PrivateKey{private}
		require.NotContains(t, received(payload.Request(job, at)), "Webhook-Signature", "a webhook has the header only if it signs by that scheme")
		job.Webhook.Schemes = []hook.Scheme{hook.SchemeV1, hook.SchemeV1a}
		r := payload.Request(job, at)
		require.Equal(t, []string{signing.StandardWebhooksV1a(private, job.Event.ID.String(), at.Unix(), r.Body)}, received(r).Values("Webhook-Signature"),
			"beside a secret that has no v1")
		require.Equal(t, job.Event.ID.String(), received(r).Get("Webhook-Id"))
		job.Webhook.Secret = standardID
		require.Regexp(t, `^v1,\S+ v1a,\S+$`, received(payload.Request(job, at)).Get("Webhook-Signature"))
		job.Webhook.Schemes = []hook.Scheme{hook.SchemeV1a}
		r = payload.Request(job, at)
		require.Regexp(t, `^v1a,\S+$`, received(r).Get("Webhook-Signature"))
		require.Equal(t, signing.HexSHA256(standardID, r.Body), r.Header.Get("X-Webhook-Signature"))
	})
	t.Run("commenda", func(t *testing.T) {
		t.Parallel()
		job := setup(t, hook.ProfileCommenda)
		job.Webhook.Secret = standardID
		r := payload.Request(job, at)
		require.Equal(t, []string{"Commenda-X-Secret", "Content-Type"}, names(r.Header))
		require.Equal(t, []string{"application/json"}, r.Header.Values("Content-Type"))
		require.Equal(t, signing.HexSHA256(standardID, r.Body), r.Header.Get("Commenda-X-Secret"), "never the key itself")
	})
	t.Run("with the webhook's own", func(t *testing.T) {
		t.Parallel()
		job := setup(t, hook.ProfileStandard)
		job.Webhook.Headers = map[string]hook.Secret{"authorization": "Bearer geheim", "X-Empty": "", "content-type": "text/plain"}
		r := payload.Request(job, at)
		require.Equal(t, []string{"Bearer geheim"}, received(r).Values("Authorization"))
		require.Equal(t, []string{""}, received(r).Values("X-Empty"))
		require.Equal(t, []string{"application/json"}, received(r).Values("Content-Type"), "ours win")
	})
	t.Run("with a trace that the webhook wants", func(t *testing.T) {
		t.Parallel()
		for _, p := range []hook.Profile{hook.ProfileStandard, hook.ProfileMomento, hook.ProfileCommenda} {
			job := setup(t, p)
			job.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
			job.Webhook.Headers = map[string]hook.Secret{"Traceparent": "the webhook's"}
			want := "the webhook's" // the other profiles have the headers of the systems that they copy
			if p == hook.ProfileStandard {
				want = job.TraceParent
			}
			require.Equal(t, []string{want}, received(payload.Request(job, at)).Values("traceparent"), p)
		}
	})
	t.Run("no profile shows the secret", func(t *testing.T) {
		t.Parallel()
		for _, p := range []hook.Profile{hook.ProfileStandard, hook.ProfileCommenda} {
			r := payload.Request(setup(t, p), at)
			for name, values := range r.Header {
				require.NotContains(t, strings.Join(values, ""), "whsec_abc123", name)
			}
			require.NotContains(t, string(r.Body), "whsec_abc123")
		}
	})
}

// A request carries the chain of events that it comes from, its own event last. Momento's and Commenda's receivers get
// no such header (spec 1), unless the event comes from another one.
func TestChain(t *testing.T) {
	t.Parallel()
	for _, p := range []hook.Profile{hook.ProfileStandard, hook.ProfileMomento, hook.ProfileCommenda} {
		job := setup(t, p)
		own := job.Event.ID.String()
		var first []string
		if p == hook.ProfileStandard {
			first = []string{own}
		}
		require.Equal(t, first, map[string][]string(payload.Request(job, time.Now()).Header)[hook.HopsHeader], p)
		job.Event.Hops = []hook.EventID{{1}, {2}}
		want := hook.EventID{1}.String() + ", " + hook.EventID{2}.String() + ", " + own
		require.Equal(t, []string{want}, map[string][]string(payload.Request(job, time.Now()).Header)[hook.HopsHeader], p)
	}
}

// Within the overlap the header with one value may carry the signature of the previous secret, while webhook-signature
// also has that of the new one.
func TestTheSingleValueOfTheSecretBefore(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	for p, signature := range map[hook.Profile]func(secret string, r hook.Request) (want, got string){
		hook.ProfileStandard: func(secret string, r hook.Request) (want, got string) {
			return signing.HexSHA256(secret, r.Body), r.Header.Get("X-Webhook-Signature")
		},
		hook.ProfileCommenda: func(secret string, r hook.Request) (want, got string) {
			return signing.HexSHA256(secret, r.Body), r.Header.Get("Commenda-X-Secret")
		},
		hook.ProfileMomento: func(secret string, r hook.Request) (want, got string) {
			return signing.HexSHA3(secret, r.Body), map[string][]string(r.Header)[momentoSignature][0]
		},
	} {
		job := setup(t, p)
		job.Webhook.Secret = standardID
		require.NoError(t, job.Webhook.RotateLater("whsec_bmV3IHNlY3JldCB0aGF0IGlzIGxvbmcgZW5vdWdo", now, now.Add(time.Hour)))
		r := payload.Request(job, now)
		want, got := signature(standardID, r)
		require.Equal(t, want, got, p)
		if p == hook.ProfileStandard {
			require.Len(t, strings.Fields(received(r).Get("Webhook-Signature")), 2)
		}
		r = payload.Request(job, now.Add(time.Hour))
		want, got = signature(job.Webhook.Secret.Reveal(), r)
		require.Equal(t, want, got, p)
	}
}
