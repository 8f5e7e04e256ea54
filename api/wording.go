package api

import (
	"fmt"
	"strings"
	"time"

	"grapnel/internal/hook"
)

// What Huma and the decoders say is put into our words: for people who know neither.

// textTime is what is said of a text that is no time.
const textTime = "must be a time in RFC 3339, like 2026-01-15T12:00:00Z"

// textUnknownParameter is Huma's word for a query parameter that an operation does not
// have; it does not say the value.
const textUnknownParameter = "unknown query parameter"

// plain makes a message of Huma's or a decoder's fit for the caller: one line, no types
// and layouts of Go's.
func plain(location, message string) string {
	switch {
	case strings.HasPrefix(message, "invalid date/time for format "):
		if strings.HasPrefix(location, "query.") {
			return textTime + "; write + as %2B"
		}
		return textTime
	case strings.Contains(message, "parsing time "): // what JSON has as a time and Go has not
		return textTime
	}
	if rest, ok := strings.CutPrefix(message, "jsontext: "); ok {
		return "is not valid JSON: " + rest
	}
	if rest, ok := strings.CutPrefix(message, "json: "); ok {
		return "does not fit: " + rest
	}
	return message
}

// tooLarge says how large a request's body may be. Huma refuses one that has as many
// bytes as its limit.
func tooLarge(message string) string {
	var limit int64
	if _, err := fmt.Sscanf(message, "request body is too large limit=%d bytes", &limit); err != nil {
		return "the request body is too large"
	}
	return fmt.Sprintf("the request body is too large: %d bytes are the most that this operation reads, and no setting changes that", limit-1)
}

// looksSecret tells a value that may be a credential which got into the wrong place.
func looksSecret(value string) bool {
	return strings.HasPrefix(value, "gk_") || strings.HasPrefix(value, "whsec_")
}

// checkPeriod refuses a time from which on there is nothing, since it is after the one up
// to which is asked for.
func checkPeriod(since, until time.Time) error {
	if !until.IsZero() && since.After(until) {
		return hook.Unprocessable("query.since", "must not be after until")
	}
	return nil
}
