package api

import (
	"bytes"
	"cmp"
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
	EventTypes(ctx context.Context, tenant hook.TenantID, p hook.NamePage) (types []hook.EventType, more bool, err error)
	EventTypeNames(ctx context.Context, tenant hook.TenantID) ([]string, error)
	EventType(ctx context.Context, tenant hook.TenantID, name string) (hook.EventType, error)
	// LookUpEventTypes returns the names that are neither built in nor the tenant's, and the hashes of the schemas of
	// the other names, by name.
	LookUpEventTypes(ctx context.Context, tenant hook.TenantID, names []string) (unknown []string, schemas map[string]hook.SchemaHash, err error)
	// LookUpEventTypesOf does the same for several tenants at once, in the order of asked.
	LookUpEventTypesOf(ctx context.Context, asked []hook.TypesAsked) ([]hook.TypesFound, error)
	// CachedEventType returns the hash of the schema of one of the tenant's types as the last look-up found it, the
	// zero value for none. A publish that relies on it must have the hash among its preconditions.
	CachedEventType(tenant hook.TenantID, name string) (hook.SchemaHash, bool)
	PutEventType(ctx context.Context, tenant hook.TenantID, t hook.NewEventType) (hook.EventType, bool, error)
}

// EventType is an entry of the catalogue.
type EventType struct {
	Name        string     `json:"name" doc:"What events name it by." example:"user.created"`
	Description string     `json:"description" doc:"What such an event means." example:"New user registered"`
	BuiltIn     bool       `json:"built_in" doc:"Whether every account has this event type." example:"true"`
	Schema      jsonSchema `json:"schema,omitempty" doc:"The JSON Schema (2020-12) that data must meet; absent if the type has none."`
	Example     anyJSON    `json:"example,omitempty" doc:"Data made from the schema, which test-webhook sends if no data is given. Absent if the type has no schema, or no example was found."`
	CreatedAt   *time.Time `json:"created_at,omitempty" doc:"Absent for built-in event types." example:"2026-01-15T12:00:00Z"`
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
	EventTypes []EventType `json:"event_types" doc:"Built-in event types first, then your own by name."`
	NextCursor *string     `json:"next_cursor,omitempty" doc:"Cursor of the remaining entries; absent if there are none." example:"AXlpbnZvaWNlLnBhaWQ"`
}

type listEventTypesOutput struct {
	Body eventTypeList
}

type putEventTypeRequest struct {
	Description *string    `json:"description,omitempty" maxLength:"1000" doc:"The meaning of such an event. Default: the present description." example:"An invoice was paid"`
	Schema      jsonSchema `json:"schema,omitempty" doc:"A JSON Schema (2020-12) of at most 32 KiB, an object or a boolean, that data must meet from now on. References to other documents are not fetched. Absent or null: any data is accepted."`
}

type putEventTypeInput struct {
	Name    string `path:"name" doc:"Letters, digits, _ and - in parts joined by dots." example:"invoice.paid"`
	RawBody []byte `contentType:"application/json"`
}

type putEventTypeOutput struct {
	Status int
	Body   EventType
}

// putEventTypeLimit bounds the body of a request, in bytes. It is larger than a schema may be, because the schema may
// contain white space that the canonical form omits.
const putEventTypeLimit = 256 << 10

func (a *API) registerEventTypes() {
	register(a, operation{
		id: "list-event-types", method: http.MethodGet, path: "/v1/event-types", tag: tagStandard, large: true,
		scopes:  []hook.Scope{hook.ScopeRead, hook.ScopeWebhooks, hook.ScopePublish},
		summary: "List event types", description: "The event types to which webhooks can subscribe: nine built-in ones, those of operational events, then your own " +
			"by name. This service publishes operational events (webhook.disabled, webhook.recovered, delivery.failed) to " +
			"webhooks that name them; patterns don't match them, and clients can't publish them. A list over 4 MiB is split; " +
			"next_cursor leads to the rest.",
	}, a.listEventTypes)
	register(a, operation{
		id: "put-event-type", method: http.MethodPut, path: "/v1/event-types/{name}", tag: tagStandard,
		summary: "Add or describe an event type",
		description: "201 if the type is new, 200 if it existed. A missing description keeps the old one; the schema is replaced, and " +
			"a missing schema removes the old one. A schema prevents the publishing of data that it refuses, so this needs a " +
			"key with the scope admin. A schema applies at once to everything published, in batches and on Commenda's surface " +
			"too, and to the data of tests.",
		errors: []int{http.StatusConflict}, created: true, raw: true, maxBody: putEventTypeLimit,
		body: a.jsonBody(putEventTypeRequest{}, "PutEventTypeRequest", false),
	}, a.putEventType)
}

// ours lists the types that every tenant has, in the order of the catalogue.
func ours() []hook.EventType {
	return slices.Concat(hook.BuiltInEventTypes(), hook.OperationalEventTypes())
}

func (a *API) listEventTypes(ctx context.Context, in *listWholeInput) (*listEventTypesOutput, error) {
	after, err := in.after()
	if err != nil {
		return nil, err
	}
	limit := cmp.Or(in.Limit, mostTypesRead)
	types := ours()
	if i := slices.IndexFunc(types, func(t hook.EventType) bool { return t.Name == after }); i >= 0 {
		types, after = types[i+1:], ""
	} else if after != "" {
		types = nil
	}
	more := len(types) >= limit
	if more {
		types = types[:limit]
	} else {
		var own []hook.EventType
		page := hook.NamePage{After: after, Limit: limit - len(types), Bytes: mostAnswered - len(types)*entryBytes}
		if own, more, err = a.Store.EventTypes(ctx, tenant(ctx), page); err != nil {
			return nil, err
		}
		types = append(types, own...)
	}
	out, last, bytes := &listEventTypesOutput{}, "", 0
	out.Body.EventTypes = make([]EventType, 0, len(types))
	for i := range types {
		last, bytes = types[i].Name, bytes+eventTypeBytes(&types[i])
		// A tenant's type whose name has become operational is not shown.
		if !hook.IsOperational(last) || types[i].BuiltIn {
			out.Body.EventTypes = append(out.Body.EventTypes, viewEventType(&types[i]))
		}
	}
	if more {
		out.Body.NextCursor = nextName(listEventTypes, last)
	}
	answered(ctx, bytes)
	return out, nil
}

// mostTypesRead is the limit if a request has none. The size of an answer ends a page long before it.
const mostTypesRead = 100_000

func (a *API) putEventType(ctx context.Context, in *putEventTypeInput) (*putEventTypeOutput, error) {
	if problem := hook.TypeProblem(in.Name); problem != "" {
		return nil, hook.Unprocessable("path.name", "%s", problem)
	}
	if hook.IsBuiltIn(in.Name) {
		return nil, &hook.Error{Kind: hook.KindConflict, Message: in.Name + " is built in"}
	}
	put, err := readEventType(ctx, in)
	if err != nil {
		return nil, err
	}
	t, created, err := a.Store.PutEventType(ctx, tenant(ctx), put)
	if err != nil {
		return nil, err
	}
	out := &putEventTypeOutput{Status: http.StatusOK, Body: viewEventType(&t)}
	if created {
		out.Status = http.StatusCreated
	}
	return out, nil
}

func readEventType(ctx context.Context, in *putEventTypeInput) (hook.NewEventType, error) {
	var b putEventTypeRequest
	if len(bytes.TrimSpace(in.RawBody)) > 0 {
		if err := readBody(in.RawBody, &b, refuseUnknown); err != nil {
			return hook.NewEventType{}, err
		}
	}
	t := hook.NewEventType{Name: in.Name, Description: b.Description}
	switch {
	case b.Description == nil:
	case utf8.RuneCountInString(*b.Description) > maxTypeDescription:
		return t, hook.Unprocessable("body.description", "expected length <= %d", maxTypeDescription)
	case strings.ContainsFunc(*b.Description, unicode.IsControl):
		return t, hook.Unprocessable("body.description", "must not have control characters")
	}
	return t, setSchema(ctx, &t, b.Schema)
}

// maxTypeDescription bounds a description, in characters.
const maxTypeDescription = 1000

// unknownEvents returns violations for the types that a webhook of the profile would subscribe to and that are not in
// the catalogue. Patterns may match types to come. Invalid names are left out, because the webhook's own validation
// refuses them.
func (a *API) unknownEvents(ctx context.Context, profile hook.Profile, events []string) ([]hook.Violation, error) {
	if profile != hook.ProfileStandard || len(events) > hook.MaxEvents {
		return nil, nil // topics of other profiles are free-form
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

// checkEvents returns violations and warnings about the events that a webhook of the profile would
// subscribe to.
func (a *API) checkEvents(ctx context.Context, profile hook.Profile, events []string, places eventPlaces) (unknown []hook.Violation, unmatched []Warning, err error) {
	if unknown, err = a.unknownEvents(ctx, profile, events); err != nil {
		return nil, nil, err
	}
	unmatched, err = a.unmatchedPatterns(ctx, profile, events, places)
	return unknown, unmatched, err
}

// checkNewEvents is checkEvents for an update of a webhook; no events are no change. A webhook never changes its
// profile.
func (a *API) checkNewEvents(ctx context.Context, id hook.WebhookID, events []string, places eventPlaces) (unknown []hook.Violation, unmatched []Warning, err error) {
	if len(events) == 0 {
		return nil, nil, nil
	}
	w, err := a.Store.Webhook(ctx, tenant(ctx), id)
	if err != nil {
		return nil, nil, err
	}
	return a.checkEvents(ctx, w.Profile, events, places)
}

// mostHints bounds how many unknown names of a request are compared with the whole catalogue. Each takes about 10 ms
// with the largest catalogue.
const mostHints = 5

// lookUpTypes returns, by name, the problems of the names that are not in the catalogue, with a similar known name
// (S7), and the hashes of the schemas of the other names. It reads all names of the catalogue only if there is
// something to suggest.
func (a *API) lookUpTypes(ctx context.Context, names []string) (problems map[string]string, schemas map[string]hook.SchemaHash, err error) {
	if len(names) == 0 {
		return nil, nil, nil
	}
	unknown, schemas, err := a.Store.LookUpEventTypes(ctx, tenant(ctx), names)
	if err != nil {
		return nil, nil, err
	}
	problems, err = a.unknownTypes(ctx, tenant(ctx), unknown, mostHints)
	return problems, schemas, err
}

// unknownTypes returns the problems of names that are not in a tenant's catalogue. For the first of them, as many as hints, it
// suggests a similar name, for which it reads the catalogue.
func (a *API) unknownTypes(ctx context.Context, tenant hook.TenantID, unknown []string, hints int) (map[string]string, error) {
	if len(unknown) == 0 {
		return nil, nil //nolint:nilnil // there are none
	}
	var known []string
	if hints > 0 {
		var err error
		if known, err = a.knownTypes(ctx, tenant); err != nil {
			return nil, err
		}
	}
	problems := make(map[string]string, len(unknown))
	for i, name := range unknown {
		hint := ""
		if i < hints {
			if near := hook.Closest(name, known); near != "" {
				hint = fmt.Sprintf("did you mean %s? ", near)
			}
		}
		problems[name] = "is not a known event type; " + hint + "PUT /v1/event-types/{name} adds one"
	}
	return problems, nil
}

// knownTypes returns the names of a tenant's catalogue.
func (a *API) knownTypes(ctx context.Context, tenant hook.TenantID) ([]string, error) {
	own, err := a.Store.EventTypeNames(ctx, tenant)
	if err != nil {
		return nil, err
	}
	all := ours()
	names := make([]string, 0, len(all)+len(own))
	for i := range all {
		names = append(names, all[i].Name)
	}
	return append(names, own...), nil
}
