package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"grapnel/internal/canonjson"
	"grapnel/internal/clip"
	"grapnel/internal/hook"
	"grapnel/internal/tracing"
)

// mostInBatch is how many events one request may publish (S9).
const mostInBatch = 1000

// batchRequestLimit bounds the body of a batch, in bytes.
const batchRequestLimit = 16 << 20

// publishEventsRequest documents the body. readBatch reads it.
type publishEventsRequest struct {
	Events []publishEventRequest `json:"events" minItems:"1" maxItems:"1000" doc:"Each event has the form that publish-event takes, and may name its tenant."`
}

type publishEventsInput struct {
	// Hidden, because a parameter more would change the signature of generated clients.
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"512" hidden:"true"`
	RawBody        []byte `contentType:"application/json"`
}

// PublishedEvents is the answer to a batch.
type PublishedEvents struct {
	Accepted int             `json:"accepted" doc:"How many events are stored, including those that were stored before." example:"1"`
	Refused  int             `json:"refused" doc:"How many were not." example:"1"`
	Results  []publishResult `json:"results" doc:"The result of each event, in the request's order."`
}

type publishResult struct {
	Status   int            `json:"status" doc:"The status that publish-event would have answered with." example:"202"`
	TenantID string         `json:"tenant_id,omitempty" doc:"The tenant for which the event was published. Only for platform keys; absent if the event can't be read, or names none that exists." example:"ten_01kab1s6rzfkqbzry2kztmfpx1"`
	Event    *AcceptedEvent `json:"event,omitempty" doc:"The event, if it was accepted."`
	Error    *problem       `json:"error,omitempty" doc:"What is wrong with the event, if it was not accepted."`
}

type publishEventsOutput struct {
	Body PublishedEvents
}

func (a *API) registerBatch() {
	register(a, operation{
		id: "publish-events", portal: portalClosed, method: http.MethodPost, path: "/v1/events/batch", tag: tagStandard, status: http.StatusAccepted,
		scopes: []hook.Scope{hook.ScopePublish}, summary: "Publish up to 1,000 events", maxBody: batchRequestLimit, raw: true, publishes: true,
		description: "Each event is handled as if it were published alone: a refused event does not affect the others. results has the " +
			"result of each event, in the request's order. To be able to repeat a request whose answer was lost, give the " +
			"events ids, or the request an Idempotency-Key: an event without an id is then identified by that key and its " +
			"place in the request. With a platform key each event may name its own tenant; without one it is published for " +
			"the tenant of the request. A batch that would make more deliveries than the server allows (100,000 by default) is " +
			"refused as a whole with 422 LIMIT_EXCEEDED.",
		errors: []int{http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType},
		body:   a.jsonBody(publishEventsRequest{}, "PublishEventsRequest", true),
	}, a.publishEvents)
}

func (a *API) publishEvents(ctx context.Context, in *publishEventsInput) (*publishEventsOutput, error) {
	key, err := idempotencyKey(in.IdempotencyKey, nil)
	if err != nil {
		return nil, err
	}
	// A batch takes the turn of the tenant that the request acts for, whichever tenants its events name: a backend that
	// publishes for all its customers is one client. The statements that store the events give every tenant its turn.
	end, err := a.limits.beginBatch(ctx, tenant(ctx))
	if err != nil {
		return nil, err
	}
	defer end()
	items, err := readBatch(in.RawBody)
	if err != nil {
		return nil, err
	}
	// Events that are not refused here are published; their outcomes are put back into their places.
	errs := make([]error, len(items))
	var list []hook.Publication
	var places []int
	publications, named := make([]hook.Publication, len(items)), make([]*string, len(items))
	for i, item := range items {
		publications[i], named[i], errs[i] = readEvent(ctx, "", item)
		if errs[i] == nil && publications[i].IdempotencyKey == "" {
			publications[i].IdempotencyKey = placeKey(key, i)
		}
	}
	rates, err := a.setTenants(ctx, publications, named, errs)
	if err != nil {
		return nil, err
	}
	if err := a.checkBatch(ctx, publications, errs); err != nil {
		return nil, err
	}
	accepted := make([]hook.Accepted, len(items))
	if err := a.admitBatch(ctx, publications, rates, accepted, errs); err != nil {
		return nil, err
	}
	for i := range publications {
		if errs[i] == nil && !accepted[i].Duplicate {
			list, places = append(list, publications[i]), append(places, i)
		}
	}
	if len(list) > 0 {
		ctx, end := a.Tracer.Publish(ctx, len(list))
		for i := range list {
			list[i].Trace = tracing.Of(ctx)
		}
		stored, failed := a.Store.PublishAll(ctx, list)
		end(stored, countErrors(failed))
		if err := outage(failed); err != nil {
			return nil, err
		}
		for n, i := range places {
			accepted[i], errs[i] = stored[n], failed[n]
		}
	}
	a.findRepeated(ctx, publications, accepted, errs, hook.KindConflict, hook.KindRateLimited)
	return &publishEventsOutput{Body: a.publishedEvents(ctx, publications, accepted, errs)}, nil
}

func countErrors(errs []error) (n int) {
	for _, err := range errs {
		if err != nil {
			n++
		}
	}
	return n
}

// outage returns the error with which to refuse a whole batch: the store stored no event and blames none of them,
// because it is unavailable or broken, the client has gone, or the events have too many deliveries together. If some
// events were stored, each event has an outcome of its own: a client that repeated the whole request would publish
// those twice.
func outage(errs []error) error {
	for _, err := range errs {
		if err == nil {
			return nil
		}
		if status, _ := mapping(hook.KindOf(err)); status < http.StatusInternalServerError && hook.KindOf(err) != hook.KindLimit {
			return nil
		}
	}
	return errs[0]
}

// checkBatch checks the types, sizes and data of the events and notes in errs what is wrong with each event. It looks
// all types of all tenants up at once. It returns an error itself if the store fails, or if there is no time left: checking many
// events may take long.
func (a *API) checkBatch(ctx context.Context, list []hook.Publication, errs []error) error {
	names := typesByTenant{}
	for i := range list {
		if errs[i] == nil && list[i].TenantID == tenant(ctx) { // setTenants has checked others
			errs[i] = checkActive(ctx)
		}
		if errs[i] == nil {
			errs[i] = checkTypeName(list[i].Type)
		}
		if errs[i] == nil {
			errs[i] = checkNotOurs("body.type", list[i].Type)
		}
		if errs[i] == nil {
			errs[i] = checkHops(&list[i])
		}
		if errs[i] == nil {
			names.add(list[i].TenantID, list[i].Type)
		}
	}
	types, err := a.lookUpTypesOf(ctx, &names)
	if err != nil {
		return err
	}
	for i := range list {
		if errs[i] != nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return hook.Unavailable("the time to check so many events", err)
		}
		found := types[list[i].TenantID]
		if errs[i] = checkListed(ctx, list[i].Type, found.problems); errs[i] == nil {
			errs[i] = a.checkSize(&list[i])
		}
		if errs[i] == nil {
			errs[i] = checkData(ctx, found.schemas[list[i].Type], list[i].Data)
		}
	}
	return nil
}

// publishedEvents starts the workflows of the accepted events and returns the answer.
func (a *API) publishedEvents(ctx context.Context, list []hook.Publication, accepted []hook.Accepted, errs []error) PublishedEvents {
	answer := PublishedEvents{Results: make([]publishResult, len(list))}
	failed, first := 0, 0
	refused, key := refusalOf(ctx), principal(ctx)
	platform := key.Platform()
	for i := range list {
		result := &answer.Results[i]
		if platform && list[i].TenantID != (hook.TenantID{}) {
			result.TenantID = list[i].TenantID.String()
		}
		if err := errs[i]; err != nil {
			place := fmt.Sprintf("body.events[%d]", i)
			result.Error = problemOf(relocated(err, map[string]string{"body": place}))
			result.Status = result.Error.Status
			if result.Status >= http.StatusInternalServerError {
				if failed++; failed == 1 {
					first = i
				}
			}
			answer.Refused++
			if refused != nil {
				refused.note(result.Error)
				refused.events++
			}
			continue
		}
		a.dispatch(&accepted[i])
		event := viewAccepted(&accepted[i], list[i].IdempotencyKey)
		result.Status, result.Event = http.StatusAccepted, &event
		answer.Accepted++
	}
	if failed > 0 && !errors.Is(ctx.Err(), context.Canceled) { // a client that has gone is no error of the service
		a.Logger.ErrorContext(ctx, "events of a batch failed", slog.Int("events", failed), slog.Int("place", first),
			slog.Int("status_code", answer.Results[first].Status), slog.Any("error", errs[first]))
	}
	return answer
}

// readBatch splits the body into its events without parsing them, because each event is refused by itself, even one
// that is nested too deep.
func readBatch(raw []byte) ([]jsontext.Value, error) {
	if err := checkPresent(raw); err != nil {
		return nil, err
	}
	items, err := splitBatch(raw)
	if err == nil {
		return items, nil
	}
	if readable, ok := shallow(raw, splitDepth); ok {
		return splitBatch(readable)
	}
	return nil, err
}

func splitBatch(raw []byte) ([]jsontext.Value, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if dec.PeekKind() != '{' {
		return nil, notObject(raw)
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, notJSON(err)
	}
	var items []jsontext.Value
	seen := false
	for dec.PeekKind() == '"' {
		token, err := dec.ReadToken()
		if err != nil {
			return nil, notJSON(err)
		}
		switch name := token.String(); {
		case name != "events":
			return nil, hook.Unprocessable("body."+clip.Text(name, longestValue), "unexpected property")
		case seen:
			return nil, notCanonical("/events", &canonjson.Error{Reason: canonjson.ReasonDuplicateKey, Message: "the key appears twice"})
		case dec.PeekKind() == jsontext.KindInvalid: // the error of reading says why
			_, err = dec.ReadToken()
			return nil, notJSON(err)
		case dec.PeekKind() != '[':
			return nil, hook.Unprocessable("body.events", "expected array")
		}
		seen = true
		if items, err = readItems(dec); err != nil {
			return nil, err
		}
	}
	if err := endOfObject(dec); err != nil {
		return nil, notJSON(err)
	}
	switch {
	case !seen:
		return nil, invalid([]hook.Violation{missing("events")})
	case len(items) == 0:
		return nil, hook.Unprocessable("body.events", "expected array length >= 1")
	}
	return items, nil
}

// readItems reads the elements of an array, at most mostInBatch.
func readItems(dec *jsontext.Decoder) ([]jsontext.Value, error) {
	if _, err := dec.ReadToken(); err != nil {
		return nil, notJSON(err)
	}
	var items []jsontext.Value
	for dec.PeekKind() != ']' {
		if len(items) == mostInBatch {
			return nil, hook.Unprocessable("body.events", "expected array length <= %d", mostInBatch)
		}
		value, err := dec.ReadValue()
		if err != nil {
			return nil, notJSON(err)
		}
		items = append(items, value.Clone()) // the next read may write over it
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, notJSON(err)
	}
	return items, nil
}

// notJSON is the error of a body that stops being JSON at some byte. Nothing is said about its events then.
func notJSON(err error) error {
	message := "something follows the object"
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		message = fmt.Sprintf("is not JSON from byte %d on", syntax.ByteOffset)
	}
	return notCanonical("", &canonjson.Error{Reason: canonjson.ReasonNotJSON, Message: message})
}
