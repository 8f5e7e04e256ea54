package api

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"grapnel/internal/diagnose"
	"grapnel/internal/hook"
)

type diagnosisStore interface {
	// Job loads one delivery with its event, without large data, and its webhook.
	Job(ctx context.Context, id hook.DeliveryID) (hook.Job, error)
}

type diagnoseRequest struct {
	Headers    map[string]string `json:"headers" doc:"The headers that the receiver got. The case of their names does not matter." example:"{\"X-Webhook-Signature\":\"c0ffee\",\"webhook-id\":\"evt_01kab1s6rzfkqbzry2kztmfpx1\"}"`
	Body       *string           `json:"body,omitempty" doc:"The body that the receiver got, as text. Required, unless body_base64 is given." example:"{\"id\":\"evt_01kab1s6rzfkqbzry2kztmfpx1\",\"type\":\"user.created\"}"`
	BodyBase64 *string           `json:"body_base64,omitempty" doc:"The body in base64, which keeps every byte. Use it for a body that is not UTF-8." example:"eyJpZCI6ImV2dF8xIn0="`
	Secret     *string           `json:"secret,omitempty" minLength:"1" maxLength:"512" doc:"The secret that the receiver verifies with, or the public key, whpk_. It is compared and neither stored nor shown." example:"whsec_dGhpcyBpcyBhIHNlY3JldCBmb3IgZXhhbXBsZXM="`
	Computed   *string           `json:"computed_signature,omitempty" minLength:"1" maxLength:"512" doc:"The signature that the receiver's own code computed. It shows whether the code decodes the key wrongly." example:"c0ffee"`
	ReceivedAt *time.Time        `json:"received_at,omitempty" doc:"What the receiver's clock showed when the request arrived. Compared with webhook-timestamp." example:"2026-01-15T12:30:01Z"`
}

type diagnoseInput struct {
	IDPath
	Body diagnoseRequest
}

// Diagnosis says whether a request verifies, and if not, why (A5).
type Diagnosis struct {
	Verdict    string               `json:"verdict" enum:"verified,another_request,another_webhook_secret,rotated_secret,unknown_secret,secret_white_space,key_prefix_stripped,key_base64_decoded,key_not_decoded,body_reserialized,body_truncated,body_altered,header_missing,header_altered,timestamp_off,unexplained" doc:"verified, or the first cause in findings." example:"body_reserialized"`
	Summary    string               `json:"summary" doc:"The verdict in words." example:"The body is the same JSON in other bytes: it was parsed and written again. The first byte that differs is number 6, counted from 0."`
	NextStep   string               `json:"next_step,omitempty" doc:"What to do; absent if the request verifies." example:"Verify the raw bytes of the body, before they are parsed."`
	Attempt    int                  `json:"attempt,omitempty" doc:"The number of the attempt that the request is of; absent if it is not logged." example:"1"`
	Compared   bool                 `json:"body_compared" doc:"Whether the body could be compared with the one that was sent. false: the event was erased, or the body can't be rebuilt." example:"true"`
	Signatures []DiagnosedSignature `json:"signatures" doc:"The signatures of the request as it arrived, verified with the given secret, or else with the webhook's."`
	Findings   []DiagnosisFinding   `json:"findings" doc:"Every cause that was found, the most telling first; empty if the request verifies."`
}

// DiagnosedSignature is a signature of a request as it arrived.
type DiagnosedSignature struct {
	Header string `json:"header" doc:"The header that has it." example:"X-Webhook-Signature"`
	Scheme string `json:"scheme,omitempty" doc:"v1 or v1a in webhook-signature." example:"v1"`
	Valid  bool   `json:"valid" doc:"Whether it verifies. Of several in one scheme, one has to." example:"false"`
}

// DiagnosisFinding is one cause with its details.
type DiagnosisFinding struct {
	Cause      string          `json:"cause" enum:"another_request,another_webhook_secret,rotated_secret,unknown_secret,secret_white_space,key_prefix_stripped,key_base64_decoded,key_not_decoded,body_reserialized,body_truncated,body_altered,header_missing,header_altered,timestamp_off,unexplained" doc:"The cause, for programs." example:"body_reserialized"`
	Summary    string          `json:"summary" doc:"What is wrong." example:"The body is the same JSON in other bytes: it was parsed and written again. The first byte that differs is number 6, counted from 0."`
	NextStep   string          `json:"next_step" doc:"What to do." example:"Verify the raw bytes of the body, before they are parsed."`
	Header     string          `json:"header,omitempty" doc:"The header concerned." example:"webhook-timestamp"`
	WebhookID  string          `json:"webhook_id,omitempty" doc:"The webhook whose secret was used, if it is another one." example:"hook_01kab1s6rzfkqbzry2kztmfpx1"`
	ValidUntil *time.Time      `json:"valid_until,omitempty" doc:"Until when the secret that was rotated out is, or was, valid." example:"2026-01-16T12:00:00Z"`
	OffSeconds float64         `json:"off_seconds,omitempty" doc:"How much the timestamp or the clock differs; positive is later." example:"-90"`
	Difference *BodyDifference `json:"difference,omitempty" doc:"Where the bodies differ."`
}

// BodyDifference is where the body that arrived differs from the one that was sent.
type BodyDifference struct {
	At             int    `json:"at" doc:"The index of the first byte that differs, from 0." example:"6"`
	Sent           string `json:"sent" doc:"A few bytes around it, as sent. Bytes that are no text show as U+FFFD." example:"{\"id\":\"evt_"`
	Received       string `json:"received" doc:"The same place, as received." example:"{\"id\": \"evt_"`
	SentLength     int    `json:"sent_length" doc:"The length of the sent body in bytes." example:"120"`
	ReceivedLength int    `json:"received_length" doc:"The length of the received body in bytes." example:"131"`
}

type diagnoseOutput struct {
	Body Diagnosis
}

// mostHeadersDiagnosed bounds the headers of a request to diagnose.
const mostHeadersDiagnosed = 200

func (a *API) registerDiagnose() {
	register(a, operation{
		id: "diagnose-delivery", portal: portalView, method: http.MethodPost, path: "/v1/deliveries/{id}/diagnose", tag: tagStandard, large: true, repeatable: true,
		scopes: []hook.Scope{hook.ScopeWebhooks}, summary: "Find out why a signature does not verify",
		description: "Compares what a receiver got with what was sent, and says whether it verifies or what is wrong: the secret of " +
			"another webhook or one that was rotated out, a body that was parsed and written again, a header that a proxy has " +
			"dropped, and the like. Nothing is sent, stored or changed, and no secret is shown. Of the account's other webhooks, " +
			"the newest 1,000 are considered; fewer if the body is large.",
		errors: []int{http.StatusNotFound, http.StatusConflict}, maxBody: int64(4*a.Config.MaxBody) + 256<<10,
	}, a.diagnoseDelivery)
}

func (a *API) diagnoseDelivery(ctx context.Context, in *diagnoseInput) (*diagnoseOutput, error) {
	received, err := in.Body.received()
	if err != nil {
		return nil, err
	}
	d, err := a.delivery(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	c, err := a.diagnosisCase(ctx, &d)
	if err != nil {
		return nil, err
	}
	c.Received, c.Now = received, time.Now()
	c.Given, c.Computed = hook.Secret(deref(in.Body.Secret)), deref(in.Body.Computed)
	if in.Body.ReceivedAt != nil {
		c.ReceivedAt = *in.Body.ReceivedAt
	}
	report := diagnose.Diagnose(c)
	if report.Undecided {
		others, err := a.otherSecrets(ctx, d.WebhookID, len(received.Body))
		if err != nil {
			return nil, err
		}
		c.Secrets = append(c.Secrets, others...)
		report = diagnose.Diagnose(c)
	}
	out := &diagnoseOutput{Body: viewDiagnosis(&report)}
	answered(ctx, entryBytes*(1+len(report.Findings)))
	return out, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// received returns the request that the receiver got.
func (r *diagnoseRequest) received() (diagnose.Request, error) {
	out := diagnose.Request{Header: make(http.Header, len(r.Headers))}
	if len(r.Headers) > mostHeadersDiagnosed {
		return out, hook.Unprocessable("body.headers", "must have at most %d headers", mostHeadersDiagnosed)
	}
	for name, value := range r.Headers {
		out.Header.Add(name, strings.TrimSpace(value))
	}
	switch {
	case r.Body != nil && r.BodyBase64 != nil:
		return out, hook.Unprocessable("body.body_base64", "must not be given together with body")
	case r.Body != nil:
		out.Body = []byte(*r.Body)
	case r.BodyBase64 == nil:
		return out, hook.Unprocessable("body.body", "is required, unless body_base64 is given; an empty body is \"\"")
	default:
		body, err := base64.StdEncoding.DecodeString(*r.BodyBase64)
		if err != nil {
			return out, hook.Unprocessable("body.body_base64", "must be base64, with padding")
		}
		out.Body = body
	}
	return out, nil
}

func viewDiagnosis(r *diagnose.Report) Diagnosis {
	v := Diagnosis{
		Verdict: "verified", Summary: "The request arrived as it was sent, and its signatures verify.", Attempt: r.Attempt, Compared: r.BodyKnown,
		Signatures: make([]DiagnosedSignature, 0, len(r.Signatures)), Findings: make([]DiagnosisFinding, 0, len(r.Findings)),
	}
	for _, s := range r.Signatures {
		v.Signatures = append(v.Signatures, DiagnosedSignature{s.Header, s.Scheme, s.Fits})
	}
	for i := range r.Findings {
		v.Findings = append(v.Findings, viewFinding(&r.Findings[i]))
	}
	if len(v.Findings) > 0 {
		v.Verdict, v.Summary, v.NextStep = v.Findings[0].Cause, v.Findings[0].Summary, v.Findings[0].NextStep
	}
	return v
}

func viewFinding(f *diagnose.Finding) DiagnosisFinding {
	v := DiagnosisFinding{
		Cause: string(f.Cause), Summary: f.Summary, NextStep: f.NextStep, Header: f.Header, OffSeconds: f.Offset.Seconds(),
	}
	if f.Webhook != (hook.WebhookID{}) {
		v.WebhookID = f.Webhook.String()
	}
	if !f.Until.IsZero() {
		until := seconds(f.Until)
		v.ValidUntil = &until
	}
	if d := f.Difference; d != nil {
		text := func(b []byte) string { return strings.ToValidUTF8(string(b), "\ufffd") }
		v.Difference = &BodyDifference{d.At, text(d.Sent), text(d.Received), d.SentLength, d.ReceivedLength}
	}
	return v
}
