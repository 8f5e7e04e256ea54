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

// operation describes an operation of the API.
type operation struct {
	id          string // kebab-case, verb first
	method      string
	path        string
	summary     string
	description string
	tag         string
	// status is the status of success; default 200.
	status int
	// scopes lists the scopes of which a key needs one; admin always suffices.
	scopes []hook.Scope
	// portal is the capability with which a portal session may call the operation, or portalClosed. Every operation states it.
	portal hook.Capability
	// public operations need no key.
	public bool
	// platform restricts the operation to platform keys (K3).
	platform bool
	// allTenants marks lists that a platform key may read over all tenants (K4). The handler asks listed for the tenants.
	allTenants bool
	// errors lists the statuses besides those of every operation.
	errors []int
	// maxBody bounds the request's body, in bytes; default 64 KiB.
	maxBody int64
	// raw operations read their body themselves.
	raw bool
	// text operations are raw ones whose body is any text, not JSON.
	text bool
	// body documents a raw operation's body.
	body *huma.RequestBody
	// sends marks operations that wait for a request to a receiver.
	sends bool
	// waits marks operations that wait for something that may never happen, with a timeout of their own.
	waits bool
	// cachedKey lets the API key come from the publish cache. The handler must then have the
	// store check that the key is still valid (see preconditions.go).
	cachedKey bool
	// keyAnywhere lets the API key also come without a scheme in Authorization, or as the query parameter token (M9).
	keyAnywhere bool
	// publishes marks operations that publish: they read the chain of events that the request comes from, and their
	// refusals are logged.
	publishes bool
	// repeatable marks POST operations that have the same result if they are sent again.
	repeatable bool
	// tokens lets a topic token take the place of the API key.
	tokens bool
	// answers documents the success of an operation that writes its answer itself.
	answers map[string]*huma.MediaType
	// created states that success may also be 201, with the same body.
	created bool
	// large marks operations with large answers, which share a memory budget (see answers).
	large bool
	// bodies has the bodies of successes by status, if they differ.
	bodies map[int]any
}

const defaultMaxRequest = 64 << 10

// sendTimeout bounds an operation that sends a request to a receiver: sending, and the store's part.
const sendTimeout = contract.SendNowTimeout + 5*time.Second

// measure returns a middleware that counts an operation's requests by status.
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

// register adds an operation to the API: with its middlewares, and with its errors turned into problems.
func register[I, O any](a *API, op operation, handler func(context.Context, *I) (*O, error)) {
	if op.portal == "" {
		panic(op.id + ": state which capability a portal session needs") // a mistake in the program
	}
	if op.maxBody == 0 {
		op.maxBody = defaultMaxRequest
	}
	statuses := append([]int{
		http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusServiceUnavailable,
	}, op.errors...)
	if !op.public {
		// Any request may name a tenant that does not exist (K3).
		statuses = append(statuses, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests)
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
	// Huma documents every raw body as required and binary, so the documentation is restored afterwards.
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
		Extensions:       portalExtension(&op),
	}, func(ctx context.Context, in *I) (*O, error) {
		// A store that hangs must not hold requests, and their connections, for ever.
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

// bodyTime is how long the body of a request may take to arrive. It is shorter than the server's own bound, which ends
// the connection without an answer.
func bodyTime(most int64) time.Duration {
	return 10*time.Second + time.Duration(most>>20)*time.Second
}

// hasBody reports whether an operation's input has a body.
func hasBody[I any]() bool {
	_, parsed := reflect.TypeFor[I]().FieldByName("Body")
	_, raw := reflect.TypeFor[I]().FieldByName("RawBody")
	return parsed || raw
}

// The tags are the three published systems (spec 1).
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

// IDPath is the path parameter of single resources. It is exported because Huma ignores embedded structs that are not.
type IDPath struct {
	ID string `path:"id" doc:"The id that was given when the resource was made."`
}

// Paging holds the query parameters of lists. It is exported for the same reason as IDPath.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"How many entries at most."`
	Cursor string `query:"cursor" maxLength:"100" doc:"next_cursor of the previous page. Absent: the first page."`
}
