package api

import (
	"fmt"
	"strings"
	"time"

	"grapnel/internal/hook"
)

// Messages of Huma and of the decoders are rewritten for clients that know neither.

// textTime is the message for a text that is no time.
const textTime = "must be a time in RFC 3339, like 2026-01-15T12:00:00Z"

// textUnknownParameter is Huma's message for an unknown query parameter. It does not contain the value.
const textUnknownParameter = "unknown query parameter"

// plain rewrites a message of Huma or of a decoder: one line, without Go's types and layouts.
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

// tooLarge says how large a request's body may be. Huma refuses a body of exactly its limit.
func tooLarge(message string) string {
	var limit int64
	if _, err := fmt.Sscanf(message, "request body is too large limit=%d bytes", &limit); err != nil {
		return "the request body is too large"
	}
	return fmt.Sprintf("the request body is too large: %d bytes are the most that this operation reads, and no setting changes that", limit-1)
}

// looksSecret reports whether a value may be a credential in the wrong place.
func looksSecret(value string) bool {
	return strings.HasPrefix(value, "gk_") || strings.HasPrefix(value, "whsec_") || strings.HasPrefix(value, hook.PortalTokenPrefix)
}

// checkPeriod refuses a period that ends before it begins.
func checkPeriod(since, until time.Time) error {
	if !until.IsZero() && since.After(until) {
		return hook.Unprocessable("query.since", "must not be after until")
	}
	return nil
}
