package api_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/payload"
	"grapnel/internal/signing"
)

// sent is a request that was sent and logged.
type sent struct {
	delivery string
	job      hook.Job
	request  hook.Request
}

// attempt makes the delivery's next attempt as activities do, and returns its request.
func (f *fixture) attempt(t *testing.T, delivery string) sent {
	t.Helper()
	id, err := hook.ParseDeliveryID(delivery)
	require.NoError(t, err)
	job, err := f.store.Job(t.Context(), id)
	require.NoError(t, err)
	if job.PayloadSize > 0 {
		found, err := f.store.Payloads(t.Context(), []hook.EventID{job.Event.ID})
		require.NoError(t, err)
		job.Event.Data = found[job.Event.ID]
	}
	at := time.Now()
	r := payload.Request(&job, at)
	a := failure(401)
	a.StartedAt, a.RequestHeaders = at.Add(3*time.Millisecond), payload.RedactHeaders(job.Webhook, r.Header)
	f.record(t, job.Delivery, a)
	return sent{delivery, job, r}
}

// diagnosis asks for a diagnosis; change may change the request.
func (f *fixture) diagnosis(t *testing.T, s sent, change func(r map[string]any)) map[string]any {
	t.Helper()
	headers := map[string]any{}
	for name, values := range s.request.Header {
		headers[name] = strings.Join(values, ", ")
	}
	request := map[string]any{"headers": headers, "body": string(s.request.Body)}
	if change != nil {
		change(request)
	}
	text, err := json.Marshal(request)
	require.NoError(t, err)
	a := f.post(t, "/v1/deliveries/"+s.delivery+"/diagnose", string(text))
	if s.job.Webhook != nil {
		require.NotContains(t, string(a.body), s.job.Webhook.Secret.Reveal())
	}
	return a.object(t, http.StatusOK)
}

// sentBy makes a webhook of a profile and sends it one event.
func (f *fixture) sentBy(t *testing.T, p hook.Profile) (webhook string, s sent) {
	t.Helper()
	switch p {
	case hook.ProfileMomento:
		f.do(t, http.MethodPut, "/caches/c/webhooks/w", `{"destination":{"postUrl":"https://yourapp.com/webhook"},"topicName":"t"}`, nil).object(t, http.StatusOK)
		require.Equal(t, http.StatusNoContent, f.do(t, http.MethodPost, "/topics/c/t", "Zoë <b>", map[string]string{"Content-Type": "text/plain"}).status)
		webhook = hook.WebhookID(value[[16]byte](t, f, `select id from webhooks where name = 'w'`)).String()
	case hook.ProfileCommenda:
		webhook = f.post(t, "/v1/webhooks", `{"url":"https://yourapp.com/webhook","events":["user.created"],"profile":"commenda"}`).object(t, http.StatusCreated)["id"].(string)
		f.publish(t, `{"name":"Zoë <b>"}`)
	case hook.ProfileStandard:
		webhook = f.post(t, "/v1/webhooks", `{"url":"https://yourapp.com/webhook","events":["user.created"],"signature_schemes":["v1","v1a"]}`).object(t, http.StatusCreated)["id"].(string)
		f.publish(t, `{"name":"Zoë <b>","text":"`+strings.Repeat("x", hook.MaxInline)+`"}`)
	}
	id, err := hook.ParseWebhookID(webhook)
	require.NoError(t, err)
	delivery := hook.DeliveryID(value[[16]byte](t, f, `select id from deliveries where webhook_id = $1`, [16]byte(id)))
	return webhook, f.attempt(t, delivery.String())
}

// A5, for every profile, over the real store.
func TestDiagnose(t *testing.T) {
	t.Parallel()
	for _, p := range hook.Profiles() {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			webhook, s := f.sentBy(t, p)
			d := f.diagnosis(t, s, nil)
			require.Equal(t, "verified", d["verdict"], d)
			require.Equal(t, []any{true, 1.0, []any{}}, []any{d["body_compared"], d["attempt"], d["findings"]})
			for _, signature := range objects(t, d["signatures"]) {
				require.Equal(t, true, signature["valid"], signature)
			}
			d = f.diagnosis(t, s, func(r map[string]any) {
				r["body"], r["body_base64"] = nil, base64.StdEncoding.EncodeToString(s.request.Body)
				delete(r, "body")
				r["secret"] = s.job.Webhook.Secret.Reveal()
			})
			require.Equal(t, "verified", d["verdict"], d)

			d = f.diagnosis(t, s, func(r map[string]any) {
				var out bytes.Buffer
				require.NoError(t, json.Indent(&out, s.request.Body, "", " "))
				r["body"] = out.String()
			})
			require.Equal(t, "body_reserialized", d["verdict"])
			finding := objects(t, d["findings"])[0]
			require.Equal(t, d["summary"], finding["summary"])
			difference := finding["difference"].(map[string]any)
			require.EqualValues(t, 1, difference["at"])
			require.Equal(t, "{\n", difference["received"].(string)[:2])
			require.Equal(t, string(s.request.Body[:33]), difference["sent"])

			other := f.newWebhook(t, "project.created")
			secret := f.get(t, "/v1/webhooks/"+other+"/secret").object(t, http.StatusOK)["secret"]
			d = f.diagnosis(t, s, func(r map[string]any) { r["secret"] = secret })
			require.Equal(t, "another_webhook_secret", d["verdict"], d)
			require.Equal(t, other, objects(t, d["findings"])[0]["webhook_id"])
			require.NotContains(t, fmt.Sprint(d), secret)

			d = f.diagnosis(t, s, func(r map[string]any) { r["secret"] = "another one" })
			require.Equal(t, "unknown_secret", d["verdict"], d)

			// Another attempt, after the secret was rotated with an overlap.
			f.post(t, "/v1/webhooks/"+webhook+"/secret/rotate", `{"overlap_seconds":3600,"single_value":"new"}`).object(t, http.StatusOK)
			second := f.attempt(t, s.delivery)
			d = f.diagnosis(t, second, func(r map[string]any) { r["secret"] = s.job.Webhook.Secret.Reveal() })
			if p == hook.ProfileStandard {
				require.Equal(t, "rotated_secret", d["verdict"], d)
				require.NotEmpty(t, objects(t, d["findings"])[0]["valid_until"])
			} else {
				require.Equal(t, "unknown_secret", d["verdict"], "it has no overlap, so the old secret is forgotten")
			}
			require.EqualValues(t, 2, f.diagnosis(t, second, nil)["attempt"])
			require.Equal(t, "verified", f.diagnosis(t, second, nil)["verdict"])
			d = f.diagnosis(t, s, func(r map[string]any) { r["secret"] = second.job.Webhook.Secret.Reveal() })
			require.Equal(t, "rotated_secret", d["verdict"], "the first request was signed before: %v", d)
		})
	}
}

func TestDiagnoseStandardHeaders(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, s := f.sentBy(t, hook.ProfileStandard)
	change := func(name, value string) func(r map[string]any) {
		return func(r map[string]any) {
			headers := r["headers"].(map[string]any)
			delete(headers, name)
			if value != "" {
				headers[strings.ToUpper(name)] = value
			}
		}
	}
	d := f.diagnosis(t, s, change("webhook-signature", ""))
	require.Equal(t, "header_missing", d["verdict"])
	require.Equal(t, "webhook-signature", objects(t, d["findings"])[0]["header"])
	d = f.diagnosis(t, s, change("webhook-timestamp", "1700000000"))
	require.Equal(t, "timestamp_off", d["verdict"])
	require.Less(t, objects(t, d["findings"])[0]["off_seconds"], -1e6)
	d = f.diagnosis(t, s, func(r map[string]any) { r["received_at"] = time.Now().Add(time.Hour).UTC().Format(time.RFC3339) })
	require.Equal(t, "timestamp_off", d["verdict"])
	key := s.job.Webhook.Secret.Reveal()
	decoded, ok := signing.StandardWebhooksKey(key)
	require.True(t, ok)
	d = f.diagnosis(t, s, func(r map[string]any) {
		r["computed_signature"] = signing.HexSHA256(string(decoded), s.request.Body)
	})
	require.Equal(t, "key_base64_decoded", d["verdict"])
}

// What is gone is said to be gone, and what is left is used.
func TestDiagnoseWhatIsGone(t *testing.T) {
	t.Parallel()
	f := setup(t)
	webhook, s := f.sentBy(t, hook.ProfileStandard)
	f.do(t, http.MethodDelete, "/v1/webhooks/"+webhook, "", nil)
	d := f.diagnosis(t, s, nil)
	require.Equal(t, "verified", d["verdict"], d)
	d = f.diagnosis(t, s, func(r map[string]any) { r["body"] = string(s.request.Body[:10]) })
	require.Equal(t, "body_truncated", d["verdict"])

	g := setup(t)
	_, s = g.sentBy(t, hook.ProfileCommenda)
	g.exec(t, `delete from events`)
	d = g.diagnosis(t, s, nil)
	require.Equal(t, []any{"verified", true}, []any{d["verdict"], d["body_compared"]}, "the signature covers it")
	d = g.diagnosis(t, s, func(r map[string]any) { r["body"] = string(s.request.Body[:10]) })
	require.Equal(t, []any{"unexplained", false}, []any{d["verdict"], d["body_compared"]})
	require.Contains(t, d["summary"], "can't be rebuilt")
}

func TestDiagnoseRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, s := f.sentBy(t, hook.ProfileStandard)
	path := "/v1/deliveries/" + s.delivery + "/diagnose"
	many := map[string]string{}
	for i := range 201 {
		many[fmt.Sprint("h", i)] = "x"
	}
	headers, err := json.Marshal(many)
	require.NoError(t, err)
	for body, place := range map[string]string{
		`{"headers":{}}`: "body.body",
		`{"headers":{},"body":"","body_base64":""}`:      "body.body_base64",
		`{"headers":{},"body_base64":"%"}`:               "body.body_base64",
		`{"body":""}`:                                    "body",
		`{"headers":{"a":1},"body":""}`:                  "body.headers.a",
		`{"headers":{},"body":"","secret":""}`:           "body.secret",
		`{"headers":{},"body":"","received_at":"today"}`: "body.received_at",
		`{"headers":` + string(headers) + `,"body":""}`:  "body.headers",
	} {
		p := f.post(t, path, body).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
		require.Equal(t, place, p.Errors[0].Location, body)
	}
	good := `{"headers":{},"body":"{}"}`
	f.post(t, path, `{"headers":{},"body":"`+strings.Repeat("x", 1<<20)+`"}`).problem(t, http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE")
	f.post(t, "/v1/deliveries/"+hook.DeliveryID{1}.String()+"/diagnose", good).problem(t, http.StatusNotFound, "NOT_FOUND")

	untried := f.deliver(t, f.newWebhook(t, "user.created"))
	f.post(t, "/v1/deliveries/"+untried+"/diagnose", good).problem(t, http.StatusConflict, "FAILED_PRECONDITION")

	// As for showing a secret: the scope read is not enough, and other tenants find nothing.
	reader := f.as(f.newKey(t, hook.DefaultTenant(), hook.ScopeRead))
	reader.post(t, path, good).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	_, foreign := f.newTenant(t)
	f.as(foreign).post(t, path, good).problem(t, http.StatusNotFound, "NOT_FOUND")
	require.NotContains(t, f.log.String(), s.job.Webhook.Secret.Reveal())
}
