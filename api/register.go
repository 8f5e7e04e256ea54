package api

import (
	"context"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
)

// operation is what every operation states.
type operation struct {
	id          string // kebab-case, verb first
	method      string
	path        string
	summary     string
	description string
	tag         string
	// status is that of success; default 200.
	status int
	// scopes are those that let a key in, one of them enough; admin always does.
	scopes []hook.Scope
	// public operations need no key.
	public bool
	// operator says that only the operator's own key is let in.
	operator bool
	// errors are the statuses beside those that every operation may answer with.
	errors []int
	// maxBody bounds the request's body, in bytes; default 64 KiB.
	maxBody int64
	// raw operations read their body themselves.
	raw bool
	// text says that a raw operation's body is text of any kind, not JSON.
	text bool
	// body documents a raw operation's body.
	body *huma.RequestBody
	// sends says that the operation waits for a request to a receiver.
	sends bool
	// waits says that the operation waits for what may not come, and bounds itself.
	waits bool
	// recalls says that the API key may be one that was found before, and that the
	// handler sees to it that it still holds (see recall.go).
	recalls bool
	// keyAnywhere says that the API key may also come raw in Authorization or as the
	// query parameter token (M9).
	keyAnywhere bool
	// publishes says that the operation publishes: it reads the chain that its request
	// comes from, and what it refuses is logged.
	publishes bool
	// repeatable says that a POST comes to the same when it is sent again.
	repeatable bool
	// tokens says that a topic token may stand for the API key.
	tokens bool
	// topics says that the operation needs to know of its key whether there are schemas.
	topics bool
	// answers documents the success of an operation that writes it itself.
	answers map[string]*huma.MediaType
	// created says that success may be 201 as well, with the same body.
	created bool
	// large says that the answer may be, so that it waits for its part of a budget.
	large bool
	// bodies are those of successes by status, where they differ.
	bodies map[int]any
}

const defaultMaxRequest = 64 << 10

// sendTimeout bounds an operation that sends: the sending and the store's part.
const sendTimeout = contract.SendNowTimeout + 5*time.Second

// measure counts what becomes of an operation's requests.
func (a *API) measure(id string) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		if a.Metrics == nil {
			next(ctx)
			return
		}
		begin := time.Now()
		defer func() {
			status := ctx.Status()
			if status == 0 { // a panic before the answer
				status = http.StatusInternalServerError
			}
			a.Metrics.Request(id, status, time.Since(begin))
		}()
		next(ctx)
	}
}

// register adds an operation: authenticated, its errors turned into problems.
func register[I, O any](a *API, op operation, handler func(context.Context, *I) (*O, error)) {
	if op.maxBody == 0 {
		op.maxBody = defaultMaxRequest
	}
	statuses := append([]int{
		http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusServiceUnavailable,
	}, op.errors...)
	if !op.public {
		statuses = append(statuses, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests)
	}
	if hasBody[I]() {
		statuses = append(statuses, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	slices.Sort(statuses)
	timeout := a.Config.Timeout
	if op.sends {
		timeout = sendTimeout
	}
	responses := map[string]*huma.Response{}
	if op.answers != nil {
		responses[strconv.Itoa(http.StatusOK)] = &huma.Response{Description: http.StatusText(http.StatusOK), Content: op.answers}
	}
	middlewares := huma.Middlewares{a.measure(op.id), a.traced(&op)}
	if op.publishes {
		middlewares = append(middlewares, a.logRefusals(op.id))
	}
	if !op.public {
		middlewares = append(middlewares, a.authorize(&op))
	}
	middlewares = append(middlewares, a.wellFormed(&op, hasBody[I]()))
	if refusesKey[I](&op) {
		middlewares = append(middlewares, a.withoutKey)
	}
	if op.publishes {
		middlewares = append(middlewares, a.readHops)
	}
	if op.waits {
		middlewares = append(middlewares, a.limitWaiting)
	}
	if op.large {
		middlewares = append(middlewares, a.limitAnswer(op.sends))
	}
	// Huma documents every body that it hands over raw as required and binary.
	var document huma.RequestBody
	if op.body != nil {
		document = huma.RequestBody{Required: op.body.Required, Content: maps.Clone(op.body.Content)}
	}
	huma.Register(a.huma, huma.Operation{
		OperationID: op.id, Method: op.method, Path: op.path, Summary: op.summary, Description: op.description,
		Tags: []string{op.tag}, DefaultStatus: op.status, Errors: slices.Compact(statuses), Responses: responses, MaxBodyBytes: op.maxBody,
		Security:         security(&op),
		Middlewares:      middlewares,
		BodyReadTimeout:  bodyTime(op.maxBody),
		RequestBody:      op.body,
		SkipValidateBody: op.raw,
	}, func(ctx context.Context, in *I) (*O, error) {
		// A store that hangs must not keep requests, and their connections, for ever.
		bounded, cancel := ctx, context.CancelFunc(func() {})
		if !op.waits {
			bounded, cancel = context.WithTimeout(ctx, timeout)
		}
		defer cancel()
		out, err := handler(bounded, in)
		if err != nil {
			return nil, a.answer(ctx, op.id, err)
		}
		return out, nil
	})
	if op.body != nil {
		*op.body = document
	}
	for status, body := range op.bodies {
		schema := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(body), true, "")
		responses[strconv.Itoa(status)] = &huma.Response{
			Description: http.StatusText(status), Content: map[string]*huma.MediaType{"application/json": {Schema: schema}},
		}
	}
	if op.created {
		responses[strconv.Itoa(http.StatusCreated)] = &huma.Response{
			Description: http.StatusText(http.StatusCreated), Content: responses[strconv.Itoa(http.StatusOK)].Content,
		}
	}
}

// bodyTime is how long a request's body may take to come; it is below the server's
// own bound, which ends the connection without an answer.
func bodyTime(most int64) time.Duration {
	return 10*time.Second + time.Duration(most>>20)*time.Second
}

// hasBody reports whether an operation's input has a body.
func hasBody[I any]() bool {
	_, parsed := reflect.TypeFor[I]().FieldByName("Body")
	_, raw := reflect.TypeFor[I]().FieldByName("RawBody")
	return parsed || raw
}

// Tags are the three systems (spec 1).
const (
	tagStandard = "Standard"
	tagMomento  = "Momento"
	tagCommenda = "Commenda"
)

func tags() []*huma.Tag {
	return []*huma.Tag{
		{Name: tagStandard, Description: "The service's own surface: webhooks of every profile, events, the delivery log, API keys."},
		{Name: tagMomento, Description: "Topics that live in caches, their messages, and their webhooks."},
		{Name: tagCommenda, Description: "Webhooks that subscribe to free-form topics, and event objects."},
	}
}

// IDPath is the path parameter of single resources. It is exported because Huma
// passes over embedded structs that are not.
type IDPath struct {
	ID string `path:"id" doc:"The id, as it was given when the resource was made."`
}

// Paging are the query parameters of lists; exported like IDPath.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"How many entries at most."`
	Cursor string `query:"cursor" maxLength:"100" doc:"next_cursor of the page before; absent for the first page."`
}
