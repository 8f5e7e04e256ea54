package api

import (
	"encoding/base64"
	"time"
	"unicode/utf8"

	"grapnel/internal/explain"
	"grapnel/internal/hook"
)

// Attempt is one request of a delivery and its outcome.
type Attempt struct {
	Number        int              `json:"number" doc:"Counts from 1." example:"1"`
	Manual        bool             `json:"manual,omitempty" doc:"Whether the attempt was made by hand." example:"false"`
	StartedAt     time.Time        `json:"started_at" doc:"When the attempt began, to the millisecond." example:"2026-01-15T12:30:00.084Z"`
	DurationMs    float64          `json:"duration_ms" doc:"The whole attempt." example:"84.2"`
	Timings       AttemptTimings   `json:"timings" doc:"Where the time went."`
	RemoteAddress string           `json:"remote_address,omitempty" doc:"The address dialled; absent if none was dialled." example:"203.0.113.7:443"`
	Request       AttemptRequest   `json:"request" doc:"What was sent."`
	Response      *AttemptResponse `json:"response,omitempty" doc:"Absent if there was none."`
	Error         *AttemptError    `json:"error,omitempty" doc:"Absent on success."`
	Explanation   *Explanation     `json:"explanation,omitempty" doc:"The failure in plain words; absent on success."`
}

// AttemptTimings are the durations of the parts of an attempt, in milliseconds.
type AttemptTimings struct {
	DNSMs       float64 `json:"dns_ms" doc:"0 on a kept connection." example:"1.3"`
	ConnectMs   float64 `json:"connect_ms" doc:"0 on a kept connection." example:"12.1"`
	TLSMs       float64 `json:"tls_ms" doc:"0 on a connection that was open already, and without TLS." example:"25.4"`
	FirstByteMs float64 `json:"first_byte_ms" doc:"Time from the start to the first byte of the answer; 0 if there was no answer." example:"83.9"`
}

// AttemptRequest is the request of an attempt, without the body, which is built from the event.
type AttemptRequest struct {
	URL     string              `json:"url" doc:"Where it was sent." example:"https://yourapp.com/webhook"`
	Headers map[string][]string `json:"headers" doc:"As sent; values of custom headers are ***." example:"{\"Content-Type\":[\"application/json\"],\"X-Event-Type\":[\"user.created\"]}"`
}

// AttemptResponse is the answer of the receiver.
type AttemptResponse struct {
	StatusCode int                 `json:"status_code" doc:"The HTTP status." example:"200"`
	Headers    map[string][]string `json:"headers" doc:"As received." example:"{\"Content-Type\":[\"text/plain\"]}"`
	Body       string              `json:"body" doc:"The first 16 KiB as text, up to the last whole character." example:"OK"`
	BodyBase64 string              `json:"body_base64,omitempty" doc:"The first 16 KiB in base64, if they are not UTF-8. body is empty then." example:"/w=="`
	Truncated  bool                `json:"truncated,omitempty" doc:"Whether the body is longer than the part shown, or broke off there." example:"false"`
	BodyLength *int64              `json:"body_length,omitempty" minimum:"0" doc:"The length of the whole body in bytes, as received or as announced by the receiver; absent if unknown." example:"2"`
}

// AttemptError is the reason of a failed attempt.
type AttemptError struct {
	Class   string `json:"class" enum:"status,redirect,timeout,refused,reset,unreachable,dns,tls,blocked,too_large,protocol,other" doc:"The class of the failure, for programs." example:"status"`
	Message string `json:"message" doc:"The failure in words, with its known details." example:"HTTP 500 Internal Server Error"`
}

// Explanation says in plain words why something failed (A4).
type Explanation struct {
	Summary  string `json:"summary" doc:"What happened, in a sentence or two. The words may change; programs use the class." example:"The receiver answered 500 Internal Server Error: an error within the receiver."`
	NextStep string `json:"next_step" doc:"What the owner of the receiver or of the webhook can do." example:"Look into the receiver's log at the time of the attempt."`
}

func viewExplanation(e *explain.Explanation) *Explanation {
	if e == nil {
		return nil
	}
	return &Explanation{Summary: e.Summary, NextStep: e.NextStep}
}

func viewAttempt(at *hook.Attempt) Attempt {
	v := Attempt{
		Number: at.Number, Manual: at.Manual, StartedAt: at.StartedAt.UTC().Truncate(time.Millisecond),
		DurationMs: ms(at.Duration), RemoteAddress: at.RemoteAddr,
		Timings: AttemptTimings{
			DNSMs: ms(at.Timings.DNS), ConnectMs: ms(at.Timings.Connect), TLSMs: ms(at.Timings.TLS), FirstByteMs: ms(at.Timings.FirstByte),
		},
		Request: AttemptRequest{URL: at.URL, Headers: at.RequestHeaders},
	}
	if at.StatusCode != 0 {
		v.Response = &AttemptResponse{StatusCode: at.StatusCode, Headers: at.ResponseHeaders}
		v.Response.Truncated, v.Response.BodyLength = at.ResponseTruncated, at.ResponseLength
		if text, ok := textOf(at.ResponseBody, at.ResponseTruncated); ok {
			v.Response.Body = text
		} else {
			v.Response.BodyBase64 = base64.StdEncoding.EncodeToString(at.ResponseBody)
		}
	}
	if at.Class != hook.ClassNone {
		v.Error = &AttemptError{Class: string(at.Class), Message: at.Error}
		v.Explanation = viewExplanation(explain.Attempt(at))
	}
	return v
}

// textOf returns a body as text; ok is false if it is not UTF-8. If the body was truncated, an incomplete character at
// its end is left out.
func textOf(body []byte, truncated bool) (text string, ok bool) {
	if truncated {
		body = body[:wholeCharacters(body)]
	}
	return string(body), utf8.Valid(body)
}

// wholeCharacters returns the length of b without an incomplete character at its end.
func wholeCharacters(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		start := len(b) - n
		if !utf8.RuneStart(b[start]) {
			continue
		}
		if !utf8.FullRune(b[start:]) {
			return start
		}
		break
	}
	return len(b)
}

// ms returns a duration in milliseconds, with microseconds as decimals.
func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
