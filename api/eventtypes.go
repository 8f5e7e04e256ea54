package api

import (
	"bytes"
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"grapnel/internal/hook"
)

type eventTypeStore interface {
	EventTypes(ctx context.Context, tenant hook.TenantID, f hook.EventTypeFilter, p hook.NamePage) (types []hook.EventType, more bool, err error)
	EventTypeNames(ctx context.Context, tenant hook.TenantID) ([]string, error)
	EventType(ctx context.Context, tenant hook.TenantID, name string) (hook.EventType, error)
	// LookUpEventTypes returns the names that are neither built in nor shared nor the tenant's own, and the hashes of the
	// schemas of the other names, by name.
	LookUpEventTypes(ctx context.Context, tenant hook.TenantID, names []string) (unknown []string, schemas map[string]hook.SchemaHash, err error)
	// LookUpEventTypesOf does the same for several tenants at once, in the order of asked.
	LookUpEventTypesOf(ctx context.Context, asked []hook.TypesAsked) ([]hook.TypesFound, error)
	// CachedEventType returns the hash of the schema of one of the tenant's types as the last look-up found it, the
	// zero value for none. A publish that relies on it must have the hash among its preconditions.
	CachedEventType(tenant hook.TenantID, name string) (hook.SchemaHash, bool)
	PutEventType(ctx context.Context, tenant hook.TenantID, t hook.NewEventType) (hook.EventType, bool, error)
	// DeleteEventType deletes a type to which no webhook subscribes by name. shared permits it to be a shared one.
	DeleteEventType(ctx context.Context, tenant hook.TenantID, name string, shared bool) error
}

// EventType is an entry of the catalogue.
type EventType struct {
	Name        string     `json:"name" doc:"What events name it by." example:"user.created"`
	Description string     `json:"description" doc:"What such an event means." example:"New user registered"`
	Group       string     `json:"group,omitempty" doc:"The name under which to show it together with others; absent if it has none." example:"users"`
	BuiltIn     bool       `json:"built_in" doc:"Whether it belongs to the service itself, so that nobody can change it." example:"true"`
	Shared      bool       `json:"shared" doc:"Whether all accounts have it: it is built in, or was put for all of them. Only a platform key that names no account can change it." example:"true"`
	Deprecated  bool       `json:"deprecated" doc:"Whether to leave it out where people choose event types. It works as before." example:"false"`
	Schema      jsonSchema `json:"schema,omitempty" doc:"The JSON Schema (2020-12) that data must meet; absent if the type has none."`
	Example     anyJSON    `json:"example,omitempty" doc:"Data made from the schema, which test-webhook sends if no data is given. Absent if the type has no schema, or no example was found."`
	CreatedAt   *time.Time `json:"created_at,omitempty" doc:"Absent for built-in event types." example:"2026-01-15T12:00:00Z"`
}

func viewEventType(t *hook.EventType) EventType {
	v := EventType{
		Name: t.Name, Description: t.Description, Group: t.Group, BuiltIn: t.BuiltIn, Shared: t.Shared, Deprecated: t.Deprecated,
		Schema: t.Schema, Example: t.Example,
	}
	if !t.BuiltIn {
		at := seconds(t.CreatedAt)
		v.CreatedAt = &at
	}
	return v
}

type eventTypeList struct {
	EventTypes []EventType `json:"event_types" doc:"Built-in event types first, then shared ones and your own by name."`
	NextCursor *string     `json:"next_cursor,omitempty" doc:"Cursor of the remaining entries; absent if there are none." example:"AXlpbnZvaWNlLnBhaWQ"`
}

type listEventTypesInput struct {
	WholePaging
	Group      string `query:"group" maxLength:"64" doc:"Only event types of this group."`
	Deprecated string `query:"deprecated" enum:"true,false" doc:"Only those that are deprecated, or only the others."`
}

// filter returns what the parameters let through.
func (in *listEventTypesInput) filter() (f hook.EventTypeFilter, err error) {
	f.Group = in.Group
	if in.Deprecated != "" {
		f.Deprecated = new(in.Deprecated == "true")
	}
	return f, textFilter("group", in.Group)
}

type listEventTypesOutput struct {
	Body eventTypeList
}

type putEventTypeRequest struct {
	Description *string    `json:"description,omitempty" maxLength:"1000" doc:"The meaning of such an event. Default: the present description." example:"An invoice was paid"`
	Group       *string    `json:"group,omitempty" maxLength:"64" doc:"The name under which to show it together with others. Default: the present group. An empty one takes it out of its group." example:"billing"`
	Deprecated  *bool      `json:"deprecated,omitempty" doc:"Whether to leave it out where people choose event types. It works as before. Default: as it is; for a new one false." example:"false"`
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
		id: "list-event-types", portal: portalView, method: http.MethodGet, path: "/v1/event-types", tag: tagStandard, large: true,
		scopes:  []hook.Scope{hook.ScopeRead, hook.ScopeWebhooks, hook.ScopePublish},
		summary: "List event types", description: "The event types to which webhooks can subscribe: nine built-in ones, those of operational events, then those " +
			"that all accounts share and your own by name. An event type of your own stands in place of a shared one of the same name. This service publishes operational events (webhook.disabled, webhook.recovered, delivery.failed) to " +
			"webhooks that name them; patterns don't match them, and clients can't publish them. A list over 4 MiB is split; " +
			"next_cursor leads to the rest.",
	}, a.listEventTypes)
	register(a, operation{
		id: "put-event-type", portal: portalClosed, method: http.MethodPut, path: "/v1/event-types/{name}", tag: tagStandard,
		summary: "Add or describe an event type",
		description: "201 if the type is new, 200 if it existed. A missing description, group or deprecated keeps the old one; the schema is " +
			"replaced, and a missing schema removes the old one. A platform key that names no account puts the type for all accounts: it " +
			"is then shared, and no account can change it (409 EVENT_TYPE_SHARED). An event type that an account had before under that name stays " +
			"the account's own, and stands in place of the shared one; one that is the same is deleted. A schema prevents the publishing of data that it refuses, so this needs a " +
			"key with the scope admin. A schema applies at once to everything published, in batches and on Commenda's surface " +
			"too, and to the data of tests.",
		errors: []int{http.StatusConflict}, created: true, raw: true, maxBody: putEventTypeLimit,
		body: a.jsonBody(putEventTypeRequest{}, "PutEventTypeRequest", false),
	}, a.putEventType)
	register(a, operation{
		id: "delete-event-type", portal: portalClosed, method: http.MethodDelete, path: "/v1/event-types/{name}", tag: tagStandard, status: http.StatusNoContent,
		summary: "Delete an event type",
		description: "Takes an event type out of the catalogue, unless a webhook subscribes to it by name (409); a pattern such as user.* is no " +
			"obstacle. Events of the type stay. A platform key that names no account deletes a shared event type, to which then no account's " +
			"webhook may subscribe. An account can't delete a shared one (409 EVENT_TYPE_SHARED), but one of its own in any case that stands in place of a shared one.",
		errors: []int{http.StatusConflict},
	}, a.deleteEventType)
}

// ours lists the types that every tenant has, in the order of the catalogue.
func ours() []hook.EventType {
	return slices.Concat(hook.BuiltInEventTypes(), hook.OperationalEventTypes())
}

func (a *API) listEventTypes(ctx context.Context, in *listEventTypesInput) (*listEventTypesOutput, error) {
	after, err := in.after()
	if err != nil {
		return nil, err
	}
	filter, err := in.filter()
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
	types = slices.DeleteFunc(types, func(t hook.EventType) bool { return !filter.Has(&t) })
	more := len(types) >= limit
	if more {
		types = types[:limit]
	} else {
		var own []hook.EventType
		page := hook.NamePage{After: after, Limit: limit - len(types), Bytes: mostAnswered - len(types)*entryBytes}
		if own, more, err = a.Store.EventTypes(ctx, tenant(ctx), filter, page); err != nil {
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
	put.Shared = forAll(ctx)
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
	t := hook.NewEventType{Name: in.Name, Description: b.Description, Group: b.Group, Deprecated: b.Deprecated}
	if err := checkTypeText("body.description", b.Description, maxTypeDescription); err != nil {
		return t, err
	}
	if err := checkTypeText("body.group", b.Group, hook.MaxGroup); err != nil {
		return t, err
	}
	return t, setSchema(ctx, &t, b.Schema)
}

// checkTypeText refuses a text that is longer than most characters or has control characters. It may be absent.
func checkTypeText(location string, text *string, most int) error {
	switch {
	case text == nil:
	case utf8.RuneCountInString(*text) > most:
		return hook.Unprocessable(location, "expected length <= %d", most)
	case strings.ContainsFunc(*text, unicode.IsControl):
		return hook.Unprocessable(location, "must not have control characters")
	}
	return nil
}

type deleteEventTypeInput struct {
	Name string `path:"name" doc:"Letters, digits, _ and - in parts joined by dots." example:"invoice.paid"`
}

func (a *API) deleteEventType(ctx context.Context, in *deleteEventTypeInput) (*empty, error) {
	if hook.TypeProblem(in.Name) != "" { // nothing has this name
		return nil, hook.NotFound("event type")
	}
	if hook.IsBuiltIn(in.Name) {
		return nil, &hook.Error{Kind: hook.KindPrecondition, Message: in.Name + " is built in"}
	}
	return nil, a.Store.DeleteEventType(ctx, tenant(ctx), in.Name, forAll(ctx))
}

// maxTypeDescription bounds a description, in characters.
const maxTypeDescription = 1000
