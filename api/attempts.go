package api

import (
	"encoding/base64"
	"time"
	"unicode/utf8"

	"grapnel/internal/hook"
)

type attemptView struct {
	Number        int           `json:"number" doc:"Counts from 1." example:"1"`
	Manual        bool          `json:"manual,omitempty" doc:"Whether it was sent by hand." example:"false"`
	StartedAt     time.Time     `json:"started_at" example:"2026-01-15T12:30:00.084Z"`
	DurationMs    float64       `json:"duration_ms" doc:"The whole attempt." example:"84.2"`
	Timings       timingsView   `json:"timings"`
	RemoteAddress string        `json:"remote_address,omitempty" doc:"The address dialled; absent if none was." example:"203.0.113.7:443"`
	Request       requestView   `json:"request"`
	Response      *responseView `json:"response,omitempty" doc:"Absent if there was none."`
	Error         *errorView    `json:"error,omitempty" doc:"Absent on success."`
}

type timingsView struct {
	DNSMs       float64 `json:"dns_ms" doc:"0 on a kept connection." example:"1.3"`
	ConnectMs   float64 `json:"connect_ms" doc:"0 on a kept connection." example:"12.1"`
	TLSMs       float64 `json:"tls_ms" doc:"0 on a kept connection and without TLS." example:"25.4"`
	FirstByteMs float64 `json:"first_byte_ms" doc:"From the start to the first byte of the answer; 0 if there was none." example:"83.9"`
}

type requestView struct {
	URL     string              `json:"url" example:"https://yourapp.com/webhook"`
	Headers map[string][]string `json:"headers" doc:"As sent; values of custom headers are not shown."`
}

type responseView struct {
	StatusCode int                 `json:"status_code" example:"200"`
	Headers    map[string][]string `json:"headers"`
	Body       string              `json:"body" doc:"The first 16 KiB, as text." example:"OK"`
	BodyBase64 string              `json:"body_base64,omitempty" doc:"The first 16 KiB in base64, instead of body, where they are not UTF-8."`
}

type errorView struct {
	Class   string `json:"class" enum:"status,redirect,timeout,refused,reset,unreachable,dns,tls,blocked,too_large,protocol,other" example:"status"`
	Message string `json:"message" example:"HTTP 500 Internal Server Error"`
}

func viewAttempt(at *hook.Attempt) attemptView {
	v := attemptView{
		Number: at.Number, Manual: at.Manual, StartedAt: at.StartedAt.UTC().Truncate(time.Millisecond),
		DurationMs: ms(at.Duration), RemoteAddress: at.RemoteAddr,
		Timings: timingsView{
			DNSMs: ms(at.Timings.DNS), ConnectMs: ms(at.Timings.Connect), TLSMs: ms(at.Timings.TLS), FirstByteMs: ms(at.Timings.FirstByte),
		},
		Request: requestView{URL: at.URL, Headers: at.RequestHeaders},
	}
	if at.StatusCode != 0 {
		v.Response = &responseView{StatusCode: at.StatusCode, Headers: at.ResponseHeaders}
		if utf8.Valid(at.ResponseBody) {
			v.Response.Body = string(at.ResponseBody)
		} else {
			v.Response.BodyBase64 = base64.StdEncoding.EncodeToString(at.ResponseBody)
		}
	}
	if at.Class != hook.ClassNone {
		v.Error = &errorView{Class: string(at.Class), Message: at.Error}
	}
	return v
}

// ms is a duration in milliseconds, to the microsecond.
func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
