package api

import (
	"context"
	"crypto/sha256"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"

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
		switch {
		case c == '"':
			return header
		case c == '\\':
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

// takesKey tells whether an operation's input has an idempotency key.
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

// making is a request to make a webhook.
type making[B any] struct {
	operation string
	// header is its idempotency key; empty for none.
	header string
	// request is its body, a struct.
	request any
	// webhook is what it wants to be made; view, the answer about that.
	webhook func() (hook.Webhook, error)
	view    func(*hook.Webhook) B
}

// makeWebhook makes the webhook. Under an idempotency key it does that once: for a day a
// repeat has the same answer, whatever has become of the webhook.
func makeWebhook[B any](ctx context.Context, a *API, m making[B]) (answer B, err error) {
	key, err := idempotencyKey(m.header, nil)
	if err != nil {
		return answer, err
	}
	if key == "" {
		w, err := m.webhook()
		if err != nil {
			return answer, err
		}
		if w, err = a.Store.CreateWebhook(ctx, w); err != nil {
			return answer, err
		}
		return m.view(&w), nil
	}
	text, err := json.Marshal(m.request, json.Deterministic(true))
	if err != nil {
		return answer, err
	}
	once := hook.Once{TenantID: tenant(ctx), Operation: m.operation, Key: key, Request: sha256.Sum256(text)}
	// Before anything else can refuse it.
	kept, err := a.Store.KeptAnswer(ctx, once)
	if hook.KindOf(err) == hook.KindNotFound {
		var w hook.Webhook
		if w, err = m.webhook(); err != nil {
			return answer, err
		}
		kept, err = a.Store.CreateWebhookOnce(ctx, w, once, func(w hook.Webhook) ([]byte, error) { return json.Marshal(m.view(&w)) })
	}
	if err != nil {
		return answer, err
	}
	return answer, json.Unmarshal(kept, &answer)
}
