package api

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"grapnel/internal/hook"
)

// keyHeader is where clients put their idempotency keys.
const keyHeader = "Idempotency-Key"

// keyAt is its place in errors.
const keyAt = "header." + keyHeader

// idempotencyKey is the client's key, which may come in the header, the body, or
// alike in both.
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

// unquoted is the text of a header that is a string of RFC 9651 (3.3.3), as the draft of
// Idempotency-Key wants it; what is none stands for itself.
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

// placeMark stands before an event's place in the key that it has from its batch's. No
// client can send it.
const placeMark = "\x1f"

// placeKey is the key of an event without one, in a batch that has one.
func placeKey(batch string, place int) string {
	if batch == "" {
		return ""
	}
	return batch + placeMark + strconv.Itoa(place)
}

// ownKey is a key as its client knows it: none that an event has from its batch.
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

// withoutKey refuses an idempotency key where it would promise what is not so: that the
// request, sent again, does nothing more.
func (a *API) withoutKey(ctx huma.Context, next func(huma.Context)) {
	if ctx.Header(keyHeader) != "" {
		a.refuse(ctx, hook.Unprocessable(keyAt, "is not known here: the request, sent again, does it once more"))
		return
	}
	next(ctx)
}

// refusesKey tells the operations that withoutKey is for. PUT, PATCH and DELETE come to
// the same when they are sent again, and so do some that are sent as POST.
func refusesKey[I any](op *operation) bool {
	return op.method == http.MethodPost && !op.repeatable && !takesKey[I]()
}
