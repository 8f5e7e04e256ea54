package api

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"grapnel/internal/hook"
)

type eventTypeStore interface {
	EventTypes(ctx context.Context, tenant hook.TenantID) ([]hook.EventType, error)
	EventTypeNames(ctx context.Context, tenant hook.TenantID) ([]string, error)
	EventType(ctx context.Context, tenant hook.TenantID, name string) (hook.EventType, error)
	// LookUpEventTypes returns those of names that are neither built in nor the tenant's,
	// and the hashes of the schemas that others have.
	LookUpEventTypes(ctx context.Context, tenant hook.TenantID, names []string) (unknown []string, schemas map[string]hook.SchemaHash, err error)
	// RecalledEventType is the hash of the schema that one of the tenant's had the last
	// time; as RecalledKey.
	RecalledEventType(tenant hook.TenantID, name string) (hook.SchemaHash, bool)
	PutEventType(ctx context.Context, tenant hook.TenantID, t hook.EventType) (hook.EventType, bool, error)
}

// EventType is an entry of the catalogue.
type EventType struct {
	Name        string     `json:"name" doc:"What events name it by." example:"user.created"`
	Description string     `json:"description" doc:"What such an event means." example:"New user registered"`
	BuiltIn     bool       `json:"built_in" doc:"Whether every account has it." example:"true"`
	Schema      jsonSchema `json:"schema,omitempty" doc:"The JSON Schema (2020-12) that data must meet; absent if any will do."`
	Example     anyJSON    `json:"example,omitempty" doc:"Data that meets the schema, made from it: what test-webhook sends unless data is given. Absent where there is no schema, or no example was found."`
	CreatedAt   *time.Time `json:"created_at,omitempty" doc:"Absent for built-in types." example:"2026-01-15T12:00:00Z"`
}

func viewEventType(t *hook.EventType) EventType {
	v := EventType{Name: t.Name, Description: t.Description, BuiltIn: t.BuiltIn, Schema: t.Schema, Example: t.Example}
	if !t.BuiltIn {
		at := seconds(t.CreatedAt)
		v.CreatedAt = &at
	}
	return v
}

type eventTypeList struct {
	EventTypes []EventType `json:"event_types" doc:"Built-in types, then your own by name."`
}

type listEventTypesOutput struct {
	Body eventTypeList
}

type putEventTypeRequest struct {
	Description string     `json:"description,omitempty" maxLength:"1000" doc:"What such an event means." example:"An invoice was paid"`
	Schema      jsonSchema `json:"schema,omitempty" doc:"A JSON Schema (2020-12), an object or a boolean, of at most 32 KiB, that data must meet from now on. Nothing that it refers to is fetched. Absent or null: any data will do."`
}

type putEventTypeInput struct {
	Name    string `path:"name" doc:"Letters, digits, _ and - in parts joined by dots." example:"invoice.paid"`
	RawBody []byte `contentType:"application/json"`
}

type putEventTypeOutput struct {
	Status int
	Body   EventType
}

// putEventTypeLimit bounds a request whose schema may have white space that its canonical
// form has not.
const putEventTypeLimit = 256 << 10

func (a *API) registerEventTypes() {
	register(a, operation{
		id: "list-event-types", method: http.MethodGet, path: "/v1/event-types", tag: tagStandard,
		scopes:  []hook.Scope{hook.ScopeRead, hook.ScopeWebhooks, hook.ScopePublish},
		summary: "List event types", description: "What can be subscribed to: nine built-in types, those of operational events, then your own by name. " +
			"Operational events (webhook.disabled, webhook.recovered, delivery.failed) are published by this service, to webhooks that name them; " +
			"patterns don't match them, and nobody else can publish them.",
	}, a.listEventTypes)
	register(a, operation{
		id: "put-event-type", method: http.MethodPut, path: "/v1/event-types/{name}", tag: tagStandard,
		scopes: []hook.Scope{hook.ScopeWebhooks}, summary: "Add or describe an event type",
		description: "201 when it is new, 200 when there was one, which is replaced: what is not given, description or schema, it has no longer. " +
			"A schema holds for what is published, in batches and on Commenda's surface too, and for the data of tests; it is in force at once.",
		errors: []int{http.StatusConflict}, created: true, raw: true, maxBody: putEventTypeLimit,
		body: a.jsonBody(putEventTypeRequest{}, "PutEventTypeRequest", false),
	}, a.putEventType)
}

func (a *API) catalogue(ctx context.Context) ([]hook.EventType, error) {
	own, err := a.Store.EventTypes(ctx, tenant(ctx))
	// A name that became ours later is ours.
	own = slices.DeleteFunc(own, func(t hook.EventType) bool { return hook.IsOperational(t.Name) })
	return slices.Concat(hook.BuiltInEventTypes(), hook.OperationalEventTypes(), own), err
}

func (a *API) listEventTypes(ctx context.Context, _ *empty) (*listEventTypesOutput, error) {
	types, err := a.catalogue(ctx)
	if err != nil {
		return nil, err
	}
	out := &listEventTypesOutput{}
	for i := range types {
		out.Body.EventTypes = append(out.Body.EventTypes, viewEventType(&types[i]))
	}
	return out, nil
}

func (a *API) putEventType(ctx context.Context, in *putEventTypeInput) (*putEventTypeOutput, error) {
	if problem := hook.TypeProblem(in.Name); problem != "" {
		return nil, hook.Unprocessable("path.name", "%s", problem)
	}
	if hook.IsBuiltIn(in.Name) {
		return nil, &hook.Error{Kind: hook.KindConflict, Message: in.Name + " is built in"}
	}
	t, err := readEventType(ctx, in)
	if err != nil {
		return nil, err
	}
	t, created, err := a.Store.PutEventType(ctx, tenant(ctx), t)
	if err != nil {
		return nil, err
	}
	out := &putEventTypeOutput{Status: http.StatusOK, Body: viewEventType(&t)}
	if created {
		out.Status = http.StatusCreated
	}
	return out, nil
}

func readEventType(ctx context.Context, in *putEventTypeInput) (hook.EventType, error) {
	var b putEventTypeRequest
	if len(bytes.TrimSpace(in.RawBody)) > 0 {
		if err := readBody(in.RawBody, &b, refuseUnknown); err != nil {
			return hook.EventType{}, err
		}
	}
	switch {
	case utf8.RuneCountInString(b.Description) > maxTypeDescription:
		return hook.EventType{}, hook.Unprocessable("body.description", "expected length <= %d", maxTypeDescription)
	case strings.ContainsFunc(b.Description, unicode.IsControl):
		return hook.EventType{}, hook.Unprocessable("body.description", "must not have control characters")
	}
	t := hook.EventType{Name: in.Name, Description: b.Description}
	return t, setSchema(ctx, &t, b.Schema)
}

// maxTypeDescription bounds a description, in characters.
const maxTypeDescription = 1000

// unknownEvents says what is wrong with those events that a webhook of the
// profile would subscribe to and that are not in the catalogue. Patterns may wait
// for types to come, and what is no name at all is the webhook's own to refuse.
func (a *API) unknownEvents(ctx context.Context, profile hook.Profile, events []string) ([]hook.Violation, error) {
	if profile != hook.ProfileStandard || len(events) > hook.MaxEvents {
		return nil, nil // the topics of the others are free-form
	}
	var names []string
	for _, e := range events {
		if !hook.IsWildcard(e) && hook.TypeProblem(e) == "" {
			names = append(names, e)
		}
	}
	problems, _, err := a.lookUpTypes(ctx, names)
	var violations []hook.Violation
	for i, e := range events {
		if problem := problems[e]; problem != "" {
			violations = append(violations, hook.Violation{Location: fmt.Sprintf("body.events[%d]", i), Message: problem, Value: e})
		}
	}
	return violations, err
}

// unknownNewEvents is unknownEvents for a change of a webhook's events; none
// given is no change. A webhook never changes its profile.
func (a *API) unknownNewEvents(ctx context.Context, id hook.WebhookID, events []string) ([]hook.Violation, error) {
	if len(events) == 0 {
		return nil, nil
	}
	w, err := a.Store.Webhook(ctx, tenant(ctx), id)
	if err != nil {
		return nil, err
	}
	return a.unknownEvents(ctx, w.Profile, events)
}

// mostHints bounds the names that the whole catalogue is compared with.
const mostHints = 20

// lookUpTypes says of each name that is not in the catalogue which known one is
// closest (S7), and which of the others have schemas. All the catalogue's names are
// read only when there is one to suggest.
func (a *API) lookUpTypes(ctx context.Context, names []string) (problems map[string]string, schemas map[string]hook.SchemaHash, err error) {
	if len(names) == 0 {
		return nil, nil, nil
	}
	unknown, schemas, err := a.Store.LookUpEventTypes(ctx, tenant(ctx), names)
	if err != nil || len(unknown) == 0 {
		return nil, schemas, err
	}
	own, err := a.Store.EventTypeNames(ctx, tenant(ctx))
	if err != nil {
		return nil, nil, err
	}
	var known []string
	for _, t := range slices.Concat(hook.BuiltInEventTypes(), hook.OperationalEventTypes()) {
		known = append(known, t.Name)
	}
	known = append(known, own...)
	problems = map[string]string{}
	for i, name := range unknown {
		hint := ""
		if i < mostHints {
			hint = fmt.Sprintf("did you mean %s? ", hook.Closest(name, known))
		}
		problems[name] = "is not a known event type; " + hint + "PUT /v1/event-types/{name} adds one"
	}
	return problems, schemas, nil
}
