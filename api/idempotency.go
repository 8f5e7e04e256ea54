package api

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"grapnel/internal/hook"
)

// keyHeader is the header of the idempotency key.
const keyHeader = "Idempotency-Key"

// keyAt is the header's location in errors.
const keyAt = "header." + keyHeader

// idempotencyKey returns the client's idempotency key, from the header, from the member id of the body, or the same
// from both.
func idempotencyKey(header string, id *string) (string, error) {
	key := unquoted(header)
	switch {
	case id == nil && header == "":
		return "", nil
	case id == nil:
		if problem := hook.IdempotencyKeyProblem(key); problem != "" {
			return "", hook.Unprocessable(keyAt, "%s", problem)
		}
		return key, nil
	case header != "" && key != *id && header != *id:
		return "", hook.Unprocessable(keyAt, "differs from id in the body; give one, or the same in both")
	default:
		if problem := hook.IdempotencyKeyProblem(*id); problem != "" {
			return "", hook.Unprocessable("body.id", "%s", problem)
		}
		return *id, nil
	}
}

// unquoted returns the text of a header that is a string of RFC 9651 (3.3.3), as the draft of Idempotency-Key requires.
// A header in any other form is returned as it is.
func unquoted(header string) string {
	inner, ok := strings.CutPrefix(header, `"`)
	if !ok {
		return header
	}
	if inner, ok = strings.CutSuffix(inner, `"`); !ok {
		return header
	}
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		c := inner[i]
		switch c {
		case '"':
			return header
		case '\\':
			if i++; i == len(inner) || inner[i] != '"' && inner[i] != '\\' {
				return header
			}
			c = inner[i]
		}
		b.WriteByte(c)
	}
	return b.String()
}

// placeMark separates the key of a batch from an event's place in it. Clients can't send it.
const placeMark = "\x1f"

// placeKey returns the idempotency key of an event in a batch that has a key, if the event has none of its own.
func placeKey(batch string, place int) string {
	if batch == "" {
		return ""
	}
	return batch + placeMark + strconv.Itoa(place)
}

// ownKey returns an idempotency key as its client knows it; empty for the key that an event has from its batch.
func ownKey(key string) string {
	if strings.Contains(key, placeMark) {
		return ""
	}
	return key
}

// takesKey reports whether an operation's input has an idempotency key.
func takesKey[I any]() bool {
	_, ok := reflect.TypeFor[I]().FieldByName("IdempotencyKey")
	return ok
}

// withoutKey refuses an idempotency key for operations that do their work again if the request is sent again.
func (a *API) withoutKey(ctx huma.Context, next func(huma.Context)) {
	if ctx.Header(keyHeader) != "" {
		a.refuse(ctx, hook.Unprocessable(keyAt, "is not known here: the request, sent again, does it once more"))
		return
	}
	next(ctx)
}

// refusesKey reports whether withoutKey applies to an operation. PUT, PATCH and DELETE have the same result if they are
// sent again, and so do some POST operations.
func refusesKey[I any](op *operation) bool {
	return op.method == http.MethodPost && !op.repeatable && !takesKey[I]()
}
