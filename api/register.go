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

	"grapnel/internal/hook"
	"grapnel/workflows"
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
	// errors are the statuses beside those that every operation may answer with.
	errors []int
	// maxBody bounds the request's body, in bytes; default 64 KiB.
	maxBody int64
	// raw operations read their body themselves.
	raw bool
	// body documents a raw operation's body.
	body *huma.RequestBody
	// sends says that the operation waits for a request to a receiver.
	sends bool
	// created says that success may be 201 as well, with the same body.
	created bool
}

const defaultMaxRequest = 64 << 10

// sendTimeout bounds an operation that sends: the sending and the store's part.
const sendTimeout = workflows.SendNowTimeout + 5*time.Second

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
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity,
		http.StatusTooManyRequests, http.StatusServiceUnavailable,
	}, op.errors...)
	if hasBody[I]() {
		statuses = append(statuses, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	slices.Sort(statuses)
	timeout := a.Config.Timeout
	if op.sends {
		timeout = sendTimeout
	}
	responses := map[string]*huma.Response{}
	// Huma documents every body that it hands over raw as required and binary.
	var document huma.RequestBody
	if op.body != nil {
		document = huma.RequestBody{Required: op.body.Required, Content: maps.Clone(op.body.Content)}
	}
	huma.Register(a.huma, huma.Operation{
		OperationID: op.id, Method: op.method, Path: op.path, Summary: op.summary, Description: op.description,
		Tags: []string{op.tag}, DefaultStatus: op.status, Errors: slices.Compact(statuses), Responses: responses, MaxBodyBytes: op.maxBody,
		Security:         []map[string][]string{{bearer: {}}},
		Middlewares:      huma.Middlewares{a.measure(op.id), a.authorize(op.scopes), a.wellFormed(hasBody[I]())},
		RequestBody:      op.body,
		SkipValidateBody: op.raw,
	}, func(ctx context.Context, in *I) (*O, error) {
		// A store that hangs must not keep requests, and their connections, for ever.
		bounded, cancel := context.WithTimeout(ctx, timeout)
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
	if op.created {
		responses[strconv.Itoa(http.StatusCreated)] = &huma.Response{
			Description: http.StatusText(http.StatusCreated), Content: responses[strconv.Itoa(http.StatusOK)].Content,
		}
	}
}

// hasBody tells whether an operation's input has a body.
func hasBody[I any]() bool {
	_, parsed := reflect.TypeFor[I]().FieldByName("Body")
	_, raw := reflect.TypeFor[I]().FieldByName("RawBody")
	return parsed || raw
}

// Tags of the standard surface.
const (
	tagWebhooks   = "Webhooks"
	tagEvents     = "Events"
	tagDeliveries = "Deliveries"
	tagKeys       = "API keys"
)

func tags() []*huma.Tag {
	return []*huma.Tag{
		{Name: tagWebhooks, Description: "Subscriptions of URLs to event types, their secrets and test deliveries."},
		{Name: tagEvents, Description: "Publishing, and what was published."},
		{Name: tagDeliveries, Description: "The log: every delivery and every attempt."},
		{Name: tagKeys, Description: "Who may do what."},
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
